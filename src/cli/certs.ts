import { isIP } from 'node:net';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import type { CertificateFile } from './certs-set.ts';

const PURPOSES: Readonly<Record<string, string>> = {
  'ca.pem': 'the test CA: tls.client_ca of the gateway, --ca of postern send',
  'ca.key': 'its private key: signs new certificates, stays on this machine',
  'server.pem': 'the gateway: tls.certificate',
  'server.key': 'the gateway: tls.private_key',
  'client.pem': 'the sender: its client certificate',
  'client.key': 'the sender: its private key',
  'client-bundle.pem': 'both in one: --bundle of postern send, or for the portal',
};

interface CertsOptions {
  readonly out: string;
  readonly host?: readonly string[];
  readonly clientName: string;
  readonly days: number;
}

/** `postern certs`: a test CA, a server and a client certificate. */
export function certsCommand(): Command {
  return new Command('certs')
    .summary('make a test CA, a server and a client certificate')
    .description(
      'Makes a test CA and signs a server certificate (localhost, 127.0.0.1, ::1) and a client certificate ' +
        'with it. Never overwrites: what is there is kept, what is missing is made.',
    )
    .option('--out <dir>', 'folder to write to, made if it is missing', 'certs')
    .option('--host <name>', 'further name or address of the server; may be repeated', collectHost)
    .option('--client-name <name>', 'name in the client certificate', readName, 'codat-client.example')
    .option('--days <n>', 'how long the server and client certificates are valid', readDays, 365)
    .addHelpText(
      'after',
      '\nExample:\n  postern certs --host hooks.example.com --client-name codat.example.com',
    )
    .action(async (options: CertsOptions) => {
      // Loaded only here: the other commands must not pay for node-forge in time and memory.
      const { makeCertificates } = await import('./certs-set.ts');
      const files = await makeCertificates({
        folder: options.out,
        hosts: options.host ?? [],
        clientName: options.clientName,
        days: options.days,
      });
      process.stdout.write(describe(files, options));
    });
}

function describe(files: readonly CertificateFile[], options: CertsOptions): string {
  const expired = files.filter((file) => file.expires && file.expires.getTime() <= Date.now());
  const lines = files.map((file) => {
    const state = file.written ? 'written' : expired.includes(file) ? 'EXPIRED' : 'kept';
    return `  ${state.padEnd(7)}  ${file.name.padEnd(17)}  ${PURPOSES[file.name] ?? ''}`;
  });
  const nothing = files.some((file) => file.written) ? '' : 'Nothing to do: the set is complete.\n';
  const renew = files.some((file) => !file.written)
    ? 'Files that were there are kept as they are. To renew a certificate, remove it (and client-bundle.pem with\n' +
      'client.pem) and run this again; its key is used again.\n'
    : '';
  return `Certificates in ${options.out}:\n${lines.join('\n')}\n\n${nothing}${renew}${paste(options.out)}`;
}

function paste(folder: string): string {
  return (
    `To give the client certificate to Codat: paste the whole of ${join(folder, 'client-bundle.pem')} (key, blank line,\n` +
    'certificate) in the portal under Monitor > Webhooks > Events > your endpoint > Advanced > Configure mTLS.\n'
  );
}

function collectHost(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, isIP(value) ? value : readName(value)];
}

function readName(value: string): string {
  const name = value.toLowerCase();
  const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
  // 64 is the most that a common name holds (RFC 5280, ub-common-name-length).
  if (name.length > 64 || !new RegExp(`^(?:\\*\\.)?${label}(?:\\.${label})*$`).test(name))
    throw new InvalidArgumentError('Give a DNS name of at most 64 characters, such as hooks.example.com.');
  return name;
}

function readDays(value: string): number {
  const days = Number(value);
  if (!/^\d{1,5}$/.test(value) || days < 1 || days > 36_500)
    throw new InvalidArgumentError('Give a whole number from 1 to 36500.');
  return days;
}
