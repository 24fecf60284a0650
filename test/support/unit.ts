import { readFileSync } from 'node:fs';

const [single, port] = [...readFileSync('README.md', 'utf8').matchAll(/```ini\n([\s\S]*?)```/g)].map(
  ([, text = '']) => text,
);

/** The README's systemd unit. */
export const UNIT = single ?? '';
/** The README's template: the same unit, and what stands in the file beside it. */
export const TEMPLATE = `${UNIT}\n${port ?? ''}`;

/** All values of a key of the unit, in order, continuations joined. */
export function valuesOf(key: string, unit = UNIT): string[] {
  return [...unit.replaceAll('\\\n', ' ').matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) =>
    value.replaceAll(/ +/g, ' '),
  );
}
