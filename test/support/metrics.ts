import type { Gateway } from './gateway.ts';

/** The value of one metric on the gateway's admin listener, by its name and labels as they stand in the exposition. */
export async function metric(gateway: Gateway, name: string): Promise<number | undefined> {
  const { port } = gateway.admin as { port: number };
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  const text = await response.text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}
