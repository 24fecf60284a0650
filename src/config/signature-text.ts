import type { DeclaredRule, EventIdRule, SignatureRule } from '../signature-settings.ts';
import { durationText } from './duration-text.ts';
import { contentText } from './signature-content.ts';

/** A rule in the notation of the file, every default filled in. */
export function ruleText(rule: SignatureRule): Readonly<Record<string, unknown>> {
  const { scheme } = rule;
  switch (scheme) {
    case 'standard-webhooks':
      return { scheme, headers: rule.family, tolerance: durationText(rule.toleranceMs) };
    case 'token':
      return { scheme, header: rule.header, id: rule.id === undefined ? 'none' : { header: rule.id } };
    case 'hmac':
      return { scheme, ...declaredText(rule), secret_encoding: rule.secretEncoding };
    case 'public-key':
      return { scheme, ...declaredText(rule) };
  }
}

function declaredText(
  rule: DeclaredRule & { readonly algorithm: string; readonly encoding: string },
): Readonly<Record<string, unknown>> {
  const { timestamp } = rule;
  return {
    header: rule.header,
    algorithm: rule.algorithm,
    encoding: rule.encoding,
    ...(rule.prefix !== '' && { prefix: rule.prefix }),
    ...(rule.separator !== undefined && { separator: rule.separator }),
    content: contentText(rule.content),
    ...(timestamp !== undefined && {
      timestamp: {
        ...('body' in timestamp ? { body: timestamp.body.join('.') } : omitUnit(timestamp)),
        unit: timestamp.unitMs === 1 ? 'ms' : 's',
      },
      tolerance: durationText(rule.toleranceMs),
    }),
    id: idText(rule.id),
    ...(rule.bodyHash !== undefined && { body_hash: rule.bodyHash }),
    ...(rule.origin !== undefined && { origin: rule.origin }),
  };
}

function omitUnit({ unitMs: _unit, ...place }: { readonly unitMs: number }): object {
  return place;
}

function idText(id: EventIdRule): unknown {
  if (id.from === 'header') return { header: id.name };
  return id.from === 'body' ? { body: id.path.join('.') } : id.from;
}
