/** Leaves out whatever can be left out while `fails` holds: halves first, single bytes last. */
export async function shrink(
  bytes: Buffer,
  fails: (bytes: Buffer) => boolean | Promise<boolean>,
): Promise<Buffer> {
  let smallest = bytes;
  for (let size = Math.ceil(bytes.length / 2); size >= 1; ) {
    const before = smallest.length;
    for (let at = 0; at < smallest.length; ) {
      const fewer = Buffer.concat([smallest.subarray(0, at), smallest.subarray(at + size)]);
      if (await fails(fewer)) smallest = fewer;
      else at += size;
    }
    if (size > 1) size = Math.ceil(size / 2);
    else if (smallest.length === before) break;
  }
  return smallest;
}
