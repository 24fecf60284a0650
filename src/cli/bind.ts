import { isIPv6 } from 'node:net';
import { CliError } from './exit.ts';

/** A listener that is about to open, by its section in the configuration. */
export interface Binding {
  readonly section: 'listen' | 'admin';
  readonly address: string;
  readonly port: number;
  readonly reusePort?: boolean;
}

/**
 * What systems that cannot share a port answer: libuv by its own list, a kernel that does not know the option. Not
 * EINVAL: that is also the answer to an address that cannot be listened on, such as a link-local one.
 */
const CANNOT_SHARE: ReadonlySet<string | undefined> = new Set(['ENOTSUP', 'ENOPROTOOPT']);

/**
 * Opens a listener.
 * @throws CliError that says which key is to be changed; with exit code 78 where another start would change nothing
 */
export async function bind<T>(binding: Binding, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    throw explained(binding, error as NodeJS.ErrnoException);
  }
}

function explained({ section, address, port, reusePort }: Binding, error: NodeJS.ErrnoException): CliError {
  if (reusePort === true && CANNOT_SHARE.has(error.code)) {
    return new CliError(
      `listen.reuse_port: this system cannot share a port among processes (${error.message}); remove it`,
      78,
    );
  }
  if (error.code !== 'EADDRINUSE') return new CliError(`cannot listen: ${error.message}`);
  const taken = `${section}.port: ${isIPv6(address) ? `[${address}]` : address}:${port} is in use by another process`;
  if (section === 'admin') return new CliError(`${taken}; give each process an admin port of its own`);
  // Linux lets only processes of one user share a port, so that nobody can take another's connections.
  return new CliError(
    reusePort === true
      ? `${taken} that does not share it; all must have listen.reuse_port: true and run as the same user`
      : `${taken}; end that one, or share the port by listen.reuse_port: true in both`,
  );
}
