import type { UpstreamSettings } from '../settings.ts';
import { loadAuthorities, opensslTakes } from './authorities.ts';
import type { Path } from './document.ts';
import { readIdentity } from './pem.ts';
import type { Report } from './problems.ts';
import type { UpstreamInput } from './schema.ts';
import type { Watched } from './tls.ts';

/** Loads the section `tls` of what the gateway connects to. @returns `false` when something was reported */
export function loadUpstreamTls(
  input: NonNullable<UpstreamInput['tls']>,
  path: Path,
  report: Report,
  watched: Watched[],
): UpstreamSettings['tls'] | false {
  const what = path.join('.');
  const ca = input.ca === undefined ? undefined : loadAuthorities(input.ca, [...path, 'ca'], report);
  if (ca !== undefined) watched.push({ what: `${what}.ca`, certificates: ca.parsed });
  if (input.certificate === undefined && input.private_key !== undefined) {
    report.add([...path, 'private_key'], 'a private key needs its certificate; give certificate as well');
    return false;
  }
  const identity =
    input.certificate === undefined
      ? undefined
      : readIdentity(input.certificate, input.private_key, path, report);
  if (identity !== undefined) {
    watched.push({ what: `${what}.certificate`, certificates: identity.parsed, keyFile: identity.keyFile });
    const options = { cert: identity.certificate, key: identity.privateKey };
    if (!opensslTakes(options, [...path, 'certificate'], report)) return false;
  }
  if (
    (input.ca !== undefined && ca === undefined) ||
    (input.certificate !== undefined && identity === undefined)
  )
    return false;
  return {
    ca: ca === undefined ? undefined : Buffer.from(`${ca.certificates.join('\n')}\n`, 'latin1'),
    certificate: identity?.certificate,
    privateKey: identity?.privateKey,
  };
}
