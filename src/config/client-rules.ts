import type { ClientSettings } from '../client-settings.ts';
import { overlap } from '../clients.ts';
import type { SenderProfile } from '../sender-profile.ts';
import type { SignatureSettings } from '../settings.ts';
import type { SignatureKey } from '../signature-settings.ts';
import type { Path } from './document.ts';
import { authorizationGiven } from './modes.ts';
import type { Report } from './problems.ts';
import type { RouteInput } from './schema.ts';

/** A client as it was read. */
export interface Known {
  readonly settings: ClientSettings;
  /** Whether something of its own is written down. */
  readonly isBound: boolean;
  readonly isRight: (...keys: ('id' | 'certificate')[]) => boolean;
}

export interface Around {
  readonly header: string | undefined;
  readonly input: Partial<RouteInput>;
  readonly sender: SenderProfile | undefined;
  /** Whether it is certain which header, if any, is meant. */
  readonly headerKnown: boolean;
  readonly signature: SignatureSettings | undefined;
}

/** The rules that no single key can break: each client must be known by something that none of the others has. */
export function checkClients(known: readonly Known[], around: Around, path: Path, report: Report): void {
  checkHeader(around, path, report);
  const { sender } = around;
  for (const [index, { settings, isBound }] of known.entries()) {
    const place = [...path, 'known', index];
    if (!isBound)
      report.add(
        place,
        'nothing proves who this client is, and anybody can write the header; give secrets or certificate',
      );
    if (settings.certificate !== undefined && sender?.clientCertificate === false)
      report.add(
        [...place, 'certificate'],
        `the sender ${sender.name} has no client certificate, so this client could never come in; give secrets`,
      );
  }
  checkIds(known, path, report);
  checkSecrets(known, around, path, report);
  checkCertificates(known, path, report);
}

const SIGNATURE_FIELD = /^(?:webhook|svix)-(?:id|timestamp|signature)$/;

/** The header that names the client is nothing else, or the one would be read as the other. */
function checkHeader(
  { header, headerKnown, input, sender, signature }: Around,
  path: Path,
  report: Report,
): void {
  if (!headerKnown) return;
  if (header === undefined) {
    const whose = sender === undefined ? 'the route has no sender' : `the sender ${sender.name} has none`;
    report.add(
      [...path, 'header'],
      `is missing, and ${whose}; give the header that names the client, such as x-codat-clientid`,
    );
    return;
  }
  const credentials = authorizationGiven(input.authorization).map((one) =>
    one.kind === 'header' ? one.name : 'authorization',
  );
  const declared = signature !== undefined && 'header' in signature ? [signature.header] : [];
  const taken = new Set(['authorization', ...credentials, ...declared]);
  if (taken.has(header) || SIGNATURE_FIELD.test(header))
    report.add([...path, 'header'], `${header} is the header of something else already; choose another`);
}

function checkIds(known: readonly Known[], path: Path, report: Report): void {
  const first = new Map<string, number>();
  for (const [index, { settings, isRight }] of known.entries()) {
    if (settings.id === '' || !isRight('id')) continue;
    const earlier = first.get(settings.id);
    if (earlier === undefined) first.set(settings.id, index);
    else
      report.add(
        [...path, 'known', index, 'id'],
        `known[${earlier}] has this id already; give each client an entry of its own`,
      );
  }
}

/** Who has another's secret can speak for it, unless a certificate stands between them. */
function checkSecrets(known: readonly Known[], { signature }: Around, path: Path, report: Report): void {
  const first = new Map<string, number>();
  const routes = new Set((signature?.keys ?? []).map(textOf));
  for (const [index, { settings }] of known.entries()) {
    const { keys = [] } = settings;
    const name = signature?.scheme === 'public-key' ? 'public_keys' : 'secrets';
    for (const [place, key] of keys.entries()) {
      const text = textOf(key);
      const where = [...path, 'known', index, name, place];
      const earlier = first.get(text);
      if (routes.has(text))
        report.add(
          where,
          'is one of the route too, by which others may sign; give this client its own, or remove it there',
        );
      if (earlier === undefined) first.set(text, index);
      else if (earlier !== index && !areTold(known[earlier]?.settings, settings))
        report.add(
          where,
          `known[${earlier}] has it too, so the one could speak for the other; give each its own, or certificates that differ`,
        );
    }
  }
}

function areTold(one: ClientSettings | undefined, other: ClientSettings): boolean {
  return (
    one?.certificate !== undefined &&
    other.certificate !== undefined &&
    overlap(one.certificate, other.certificate) === undefined
  );
}

/** Clients that sign by the route's keys, or not at all, are told apart by their certificates alone. */
function checkCertificates(known: readonly Known[], path: Path, report: Report): void {
  const rules = known.flatMap(({ settings: { keys, certificate }, isRight }, index) =>
    keys === undefined && certificate !== undefined && isRight('certificate') ? [{ index, certificate }] : [],
  );
  for (const [place, { index, certificate }] of rules.entries()) {
    const like = rules.slice(0, place).find((one) => overlap(one.certificate, certificate) !== undefined);
    if (like === undefined) continue;
    const how = overlap(like.certificate, certificate);
    report.add(
      [...path, 'known', index, 'certificate'],
      `a certificate of known[${like.index}] may pass here too (${how}); give both lists of one kind that differ, or secrets of their own`,
    );
  }
}

function textOf({ version, key }: SignatureKey): string {
  const bytes = version === 'v1' ? key.export() : key.export({ format: 'der', type: 'spki' });
  return bytes.toString('base64');
}
