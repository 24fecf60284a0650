/** The values of a gateway's `/metrics` whose names begin so, by what stands behind that. */
export async function scrape(adminPort: number, prefix: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(prefix));
  return new Map(
    lines.map((line) => {
      const end = line.lastIndexOf(' ');
      return [line.slice(prefix.length, end), Number(line.slice(end + 1))];
    }),
  );
}
