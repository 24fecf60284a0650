import { hash, type X509Certificate } from 'node:crypto';
import { resolve } from 'node:path';
import { stringify } from 'yaml';
import type { Settings } from '../settings.ts';
import type { RevocationList } from '../tls-settings.ts';
import { completed, senderTexts } from './complete.ts';
import type { Path, Source } from './document.ts';
import { configurationJsonSchema, type JsonSchema } from './json-schema.ts';
import { subjectOf } from './pem.ts';
import { pathText } from './problems.ts';
import { isMapping } from './schema.ts';
import { unusedKeys } from './state.ts';
import type { Watched } from './tls.ts';
import { PEM_FILE } from './values.ts';

type Shown = Settings['shown'];

/**
 * The configuration as it works: every default filled in, substitutions made, sender profiles applied. What is a secret
 * is decided by the schema's mark alone, and what the schema does not know is left out, so that nobody can forget one.
 */
export function showConfiguration(
  root: Readonly<Record<string, unknown>>,
  settings: Omit<Settings, 'shown'>,
  source: Source,
  watched: readonly Watched[],
): Shown {
  const files = new Map(watched.map((file) => [file.what, file]));

  function show(schema: JsonSchema, given: unknown, path: Path): unknown {
    const value = given === undefined ? schema.default : given;
    const form = value === undefined ? undefined : formOf(schema, value);
    if (form === undefined) return undefined;
    if (form.writeOnly === true) return redacted(String(value));
    if (form.format === PEM_FILE) return pemText(String(value), path);
    if (Array.isArray(value))
      return value.map((item, index) => show(form.items ?? NOTHING, item, [...path, index]));
    return isMapping(value) ? mapping(form, value as object, path) : plain(schema, value);
  }

  function mapping(form: JsonSchema, value: object, path: Path): Shown {
    const names = isFree(form) ? Object.keys(value) : Object.keys(form.properties ?? {});
    const shown = names.map((name): [string, unknown] => {
      const inner = [...path, name];
      const child = (value as Readonly<Record<string, unknown>>)[name];
      // A field's value can be anything; what somebody keeps out of the file is kept out of here too.
      const isHidden = isFree(form) && typeof child === 'string' && source.isSubstituted(inner);
      return [name, isHidden ? redacted(child) : show(schemaOf(form, name), child, inner)];
    });
    return Object.fromEntries(shown.filter(([, text]) => text !== undefined));
  }

  function pemText(name: string, path: Path): unknown {
    const { certificates = [], crls = [] } = files.get(pathText(path)) ?? {};
    const file = resolve(source.folder, name);
    if (certificates.length + crls.length === 0) return file;
    return {
      file,
      ...(certificates.length > 0 && { certificates: certificates.map(certificateText) }),
      ...(crls.length > 0 && { revocation_lists: crls.map(listText) }),
    };
  }

  const shown = show(configurationJsonSchema(), completed(root, settings), []) as Shown;
  const { routes } = settings;
  const unused = new Set(unusedKeys(settings.state.driver));
  const state = Object.entries(shown.state as Shown).filter(([key]) => !unused.has(key));
  return Object.freeze({ ...shown, state: Object.fromEntries(state), senders: senderTexts(routes) });
}

/** What `check --show` prints and `/config` serves: YAML 1.2. */
export function shownText({ shown }: Pick<Settings, 'shown'>): string {
  return stringify(shown, { lineWidth: 0, aliasDuplicateObjects: false });
}

const NOTHING: JsonSchema = {};

/** Of several forms that a key may have, the one that is written here; `undefined`: the schema knows no such form. */
function formOf(schema: JsonSchema, value: unknown): JsonSchema | undefined {
  const forms = schema.anyOf ?? [schema];
  if (Array.isArray(value)) return forms.find((form) => form.items !== undefined);
  if (isMapping(value)) return forms.find((form) => form.properties !== undefined || isFree(form));
  const scalars = forms.filter(
    (form) => form.items === undefined && form.properties === undefined && !isFree(form),
  );
  const known = scalars.filter((form) => form.type !== undefined || 'const' in form);
  return known.find((form) => form.writeOnly === true) ?? known[0];
}

function isFree({ additionalProperties }: JsonSchema): boolean {
  return typeof additionalProperties === 'object';
}

function schemaOf({ properties, additionalProperties: free }: JsonSchema, name: string): JsonSchema {
  return properties?.[name] ?? (typeof free === 'object' ? free : NOTHING);
}

/** A number or boolean that came in quotes, or out of a `${…}`, as what it is. */
function plain({ anyOf = [] }: JsonSchema, value: unknown): unknown {
  if (anyOf.some(({ type }) => type === 'integer')) return Number(value);
  const isSwitch = anyOf.some((form) => form.type === 'boolean' || 'const' in form);
  return isSwitch && (value === 'true' || value === 'false') ? value === 'true' : value;
}

/**
 * Enough to tell whether two are the same, on one machine or on two: the hash has no salt. Whoever reads it can try
 * guesses, so only a secret that cannot be guessed is safe from its readers.
 */
function redacted(secret: string): string {
  return `<secret: ${secret.length} characters, sha256 ${hash('sha256', secret).slice(0, 8)}>`;
}

function certificateText(certificate: X509Certificate): Shown {
  return {
    subject: subjectOf(certificate),
    fingerprint: `sha256:${hash('sha256', certificate.raw)}`,
    not_after: new Date(certificate.validTo).toISOString(),
  };
}

function listText({ issuer, nextUpdateMs }: RevocationList): Shown {
  return {
    issuer,
    ...(nextUpdateMs !== undefined && { next_update: new Date(nextUpdateMs).toISOString() }),
  };
}
