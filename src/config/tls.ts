import type { X509Certificate } from 'node:crypto';
import type { z } from 'zod';
import type { RevocationList, TlsHost, TlsSettings } from '../tls-settings.ts';
import { loadAuthorities, opensslTakes, publicRootOf } from './authorities.ts';
import { loadCrls } from './crl.ts';
import type { Path } from './document.ts';
import { type Partly, readSection } from './issues.ts';
import { type PemFile, readIdentity } from './pem.ts';
import { pathText, type Report } from './problems.ts';
import { tlsHostSchema, type tlsSchema } from './schema.ts';

/** A file of certificates, keys or revocation lists that `postern check` has an eye on. */
export interface Watched {
  /** The key in the configuration: `tls.client_ca`. */
  readonly what: string;
  readonly certificates: readonly X509Certificate[];
  readonly keyFile?: PemFile | undefined;
  /** The names under which the certificate is shown. */
  readonly names?: readonly string[] | undefined;
  readonly crls?: readonly RevocationList[] | undefined;
  /** The authorities that the lists are needed for. */
  readonly authorities?: readonly X509Certificate[] | undefined;
}

/** Where a client's certificate is asked for: what routes need to know of it. */
export interface TlsEntrance {
  /** Empty: the default. */
  readonly names: readonly string[];
  readonly clientCertificate: TlsHost['clientCertificate'] | undefined;
  /** The subject of the client authority that is a public root, if one is. */
  readonly publicRoot: string | undefined;
}

export interface LoadedTls {
  /** `undefined` when any of it was reported as wrong. */
  readonly settings: TlsSettings | undefined;
  readonly entrances: readonly TlsEntrance[];
}

interface Authorities {
  readonly pems: readonly string[];
  readonly crls: readonly RevocationList[];
}

/** What a host takes from the section `tls` where it says nothing of its own. */
interface Defaults {
  readonly authorities: Authorities | undefined;
  readonly clientCertificate: TlsHost['clientCertificate'] | undefined;
  readonly minVersion: TlsSettings['minVersion'];
  readonly crlExpired: TlsSettings['clientCrlExpired'];
}

type HostInput = Omit<z.output<typeof tlsHostSchema>, 'names'>;

/** Loads what the section `tls` names. */
export function loadTls(
  section: Partly<z.output<typeof tlsSchema>>,
  given: unknown,
  report: Report,
  watched: Watched[],
): LoadedTls {
  const { values } = section;
  const minVersion = values.min_version ?? 'TLSv1.2';
  const crlExpired = values.client_crl_expired ?? 'refuse';
  const { client_certificate: clientCertificate } = values;
  const reader = { report, watched };
  const own = { authorities: undefined, clientCertificate, minVersion, crlExpired };
  const main = loadHost(section, [], ['tls'], own, reader);
  const defaults = { ...own, authorities: main.authorities };
  const inputs = (given as { hosts?: unknown } | null | undefined)?.hosts;
  const hosts = (Array.isArray(inputs) && section.right('hosts') ? inputs : []).map(
    (input: unknown, index) => {
      const path = ['tls', 'hosts', index];
      const host = readSection(tlsHostSchema, input, path, report);
      return loadHost(host, host.values.names ?? [], path, defaults, reader);
    },
  );
  refuseRepeatedNames(hosts, report);
  const entrances = [main, ...hosts].map(({ entrance }) => entrance);
  const all = hosts.map(({ host }) => host).filter((host) => host !== undefined);
  const isWhole = main.host !== undefined && all.length === hosts.length && section.right('hosts');
  if (!isWhole || main.host === undefined) return { settings: undefined, entrances };
  return { settings: { ...main.host, minVersion, clientCrlExpired: crlExpired, hosts: all }, entrances };
}

interface LoadedHost {
  readonly host: TlsHost | undefined;
  readonly authorities: Authorities | undefined;
  readonly entrance: TlsEntrance;
}

function loadHost(
  section: Partly<HostInput & { names?: unknown }>,
  names: readonly string[],
  path: Path,
  defaults: Defaults,
  { report, watched }: { report: Report; watched: Watched[] },
): LoadedHost {
  const { values } = section;
  const what = pathText(path);
  const identity =
    values.certificate === undefined || !section.right('private_key')
      ? undefined
      : readIdentity(values.certificate, values.private_key, path, report);
  const authorities = loadTrust(section, path, defaults, { report, watched });
  const clientCertificate = values.client_certificate ?? defaults.clientCertificate;
  const publicRoot = authorities === undefined ? undefined : publicRootOf(authorities.pems);
  const entrance = { names, clientCertificate, publicRoot };
  if (identity === undefined) return { host: undefined, authorities, entrance };
  const { certificate, privateKey, parsed, keyFile } = identity;
  watched.push({ what: `${what}.certificate`, certificates: parsed, keyFile, names });
  const options = { cert: certificate, key: privateKey, minVersion: defaults.minVersion };
  const isSound = opensslTakes(options, [...path, 'certificate'], report);
  const isRight = section.right('client_certificate', 'client_crl', 'names');
  const host =
    isSound && isRight && authorities !== undefined && clientCertificate !== undefined
      ? {
          names,
          certificate,
          privateKey,
          clientCa: authorities.pems,
          clientCrl: authorities.crls,
          clientCertificate,
        }
      : undefined;
  return { host, authorities, entrance };
}

/** The client authorities of one host with their revocation lists. @returns `undefined` when something was reported */
function loadTrust(
  { values, right }: Partly<HostInput>,
  path: Path,
  defaults: Defaults,
  { report, watched }: { report: Report; watched: Watched[] },
): Authorities | undefined {
  if (!right('client_ca', 'client_crl')) return undefined;
  if (values.client_ca === undefined) {
    if (values.client_crl !== undefined && path.length > 1)
      report.add(
        [...path, 'client_crl'],
        'a revocation list needs its authority; give client_ca here as well',
      );
    return defaults.authorities;
  }
  const what = pathText(path);
  const pem = loadAuthorities(values.client_ca, [...path, 'client_ca'], report);
  if (pem === undefined) return undefined;
  watched.push({ what: `${what}.client_ca`, certificates: pem.parsed });
  const pems = [...new Set(pem.certificates)];
  if (values.client_crl === undefined) return { pems, crls: [] };
  const use = {
    path: [...path, 'client_crl'],
    authorities: pem.parsed,
    isOwnCheck: defaults.crlExpired === 'warn',
  };
  const crls = loadCrls(values.client_crl, use, report);
  if (crls === undefined) return undefined;
  watched.push({ what: `${what}.client_crl`, certificates: [], crls, authorities: pem.parsed });
  return { pems, crls };
}

function refuseRepeatedNames(hosts: readonly LoadedHost[], report: Report): void {
  const first = new Map<string, number>();
  for (const [index, { entrance }] of hosts.entries()) {
    for (const [place, name] of entrance.names.entries()) {
      const earlier = first.get(name);
      if (earlier === undefined) first.set(name, index);
      else {
        const where = earlier === index ? 'is given twice here' : `belongs to tls.hosts[${earlier}] already`;
        report.add(['tls', 'hosts', index, 'names', place], `${name} ${where}; give each name once`);
      }
    }
  }
}
