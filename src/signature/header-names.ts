import type { HeaderFamily, SignatureRule } from '../signature-settings.ts';

export const FAMILIES: readonly HeaderFamily[] = ['webhook', 'svix'];
export const PARTS = ['id', 'timestamp', 'signature'];

/** The headers that a scheme reads, each once, in lower case. */
export function headerNames(rule: SignatureRule): readonly string[] {
  if (rule.scheme === 'standard-webhooks')
    return FAMILIES.flatMap((family) => PARTS.map((part) => `${family}-${part}`));
  if (rule.scheme === 'token') return [rule.header, ...(rule.id === undefined ? [] : [rule.id])];
  const { header, timestamp, id } = rule;
  return [
    ...new Set([
      header,
      ...(timestamp !== undefined && 'header' in timestamp ? [timestamp.header] : []),
      ...(id.from === 'header' ? [id.name] : []),
    ]),
  ];
}
