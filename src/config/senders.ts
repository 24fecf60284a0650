import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SenderProfile } from '../sender-profile.ts';
import { type FileNotes, readDocument } from './document.ts';
import { readInner, readSection } from './issues.ts';
import { ConfigError, suggestion } from './problems.ts';
import { senderSchema } from './sender-schema.ts';
import { readRule } from './signature-rule.ts';
import { declaredSchema } from './signature-schema.ts';

/** The profiles that come with Postern; the folder is the same seen from src/config and from dist/config. */
const BUILT_IN = fileURLToPath(new URL('../../config/senders/', import.meta.url));

/**
 * Reads the profile of a sender: `senders/NAME.yaml` beside the configuration, else the one built in.
 * @param configFolder the folder of the configuration file, as the user named it
 * @param files where the files it is read from are noted
 * @throws {ConfigError} when there is no such profile, or with every mistake in it
 */
export function loadSender(name: string, configFolder: string, files: FileNotes = new Map()): SenderProfile {
  // A name is no path: `../../etc/x` must not be read.
  const file = /^[a-z0-9-]+$/.test(name) ? findProfile(name, configFolder) : undefined;
  if (file === undefined) {
    throw new ConfigError([
      `there is no sender ${JSON.stringify(name)}; ${suggestion(name, senderNames(configFolder))}`,
    ]);
  }
  return readProfile(name, file, files);
}

/** The names of all profiles that `loadSender` would find, sorted. */
export function senderNames(configFolder: string): readonly string[] {
  return [...new Set([...namesIn(join(configFolder, 'senders')), ...namesIn(BUILT_IN)])].sort();
}

/** The names of the profiles beside a configuration, sorted; none where those are the built-in ones. */
export function ownSenderNames(configFolder: string): readonly string[] {
  const folder = resolve(configFolder, 'senders');
  return folder === resolve(BUILT_IN) ? [] : namesIn(folder).sort();
}

function namesIn(folder: string): string[] {
  return (isThere(folder) ? readdirSync(folder) : [])
    .filter((file) => /^[a-z0-9-]+\.yaml$/.test(file))
    .map((file) => file.slice(0, -'.yaml'.length));
}

function findProfile(name: string, configFolder: string): string | undefined {
  const own = join(configFolder, 'senders', `${name}.yaml`);
  return [own, join(BUILT_IN, `${name}.yaml`)].find((file) => isThere(resolve(file)));
}

/** What Node's permission flags do not show is not there; existsSync, which throws for nothing else, throws for that. */
function isThere(file: string): boolean {
  try {
    return existsSync(file);
  } catch {
    return false;
  }
}

function readProfile(name: string, file: string, files: FileNotes): SenderProfile {
  const report = readDocument(file, undefined, files);
  const { values } = readSection(senderSchema, report.source.value, [], report);
  if (values.addresses?.includes('any')) {
    report.add(
      ['addresses', values.addresses.indexOf('any')],
      'any is not for a profile; remove addresses, and write addresses: any at the route',
    );
  }
  const { title, documentation, methods, client_certificate: clientCertificate, retries, redirects } = values;
  const { event } = values;
  const given = Object(report.source.value).signature;
  const declared = readInner(declaredSchema, given);
  const { scheme } = declared.values;
  const signature = scheme && readRule(scheme, declared, ['signature'], report);
  if (
    report.lines().length > 0 ||
    title === undefined ||
    documentation === undefined ||
    methods === undefined ||
    clientCertificate === undefined ||
    retries === undefined ||
    redirects === undefined
  ) {
    throw new ConfigError(report.lines());
  }
  return Object.freeze({
    name,
    title,
    documentation,
    addresses: values.addresses && [...new Set(values.addresses)],
    methods: [...new Set(methods)],
    clientCertificate,
    signature,
    deadlineMs: values.deadline,
    retries:
      retries === 'none'
        ? { statuses: [], scheduleMs: [] }
        : { statuses: retries.statuses, scheduleMs: retries.schedule ?? [] },
    redirects,
    disabledBy: values.disabled_by ?? [],
    event: { type: event?.type ?? [], tags: event?.tags ?? [], company: event?.company ?? [] },
    clientHeader: values.client_header,
  });
}
