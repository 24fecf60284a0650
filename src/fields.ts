/** Header fields as one flat list: name, value, name, value …; names in lower case. */
export type Fields = readonly string[];

/** The first value of a field; `undefined`: the field is absent. */
export function fieldValue(fields: Fields, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name) return fields[i + 1];
  }
  return undefined;
}

/** How often a field occurs. */
export function fieldCount(fields: Fields, name: string): number {
  let count = 0;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name) count += 1;
  }
  return count;
}
