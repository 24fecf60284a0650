import { ConfigError } from '../config/problems.ts';

/** The exit codes of every command: 0 good, 1 refused or failed, 2 wrong use, 78 bad configuration (EX_CONFIG). */
export type ExitCode = 0 | 1 | 2 | 78;

/** Ends a command with a sentence on stderr and an exit code. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * Reads a configuration.
 * @throws CliError with exit code 78 and every problem, a line each
 */
export async function configError<T>(read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ConfigError) throw new CliError(error.message, 78);
    throw error;
  }
}
