import { errorText } from '../record/error-facts.ts';

const EVENTS = ['uncaughtException', 'unhandledRejection'] as const;

/**
 * A fault that nobody expected ends the program. Node would print the error with all that it carries, and the line of
 * source that threw it.
 */
export function endOnFault(): void {
  for (const event of EVENTS) {
    process.on(event, (error: unknown) => {
      process.stderr.write(`postern: ${errorText(error)}\n`);
      process.exit(1);
    });
  }
}

/** From now on a fault is told, and the program goes on. */
export function surviveFaults(tell: (error: unknown) => void): void {
  for (const event of EVENTS) {
    process.removeAllListeners(event);
    process.on(event, tell);
  }
}
