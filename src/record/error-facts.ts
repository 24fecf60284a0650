/** What may be written of an error. */
export interface ErrorFacts {
  readonly type: string;
  readonly message?: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: ErrorFacts;
  readonly errors?: readonly ErrorFacts[];
}

const DEEPEST = 3;
const MOST_ERRORS = 5;

/**
 * The words of an error and where it came from, and nothing that it carries: the errors of HTTP clients hold the whole
 * request, headers and all, those of URL parsers the URL. What was thrown and is no error is told by its kind only.
 */
export function errorFacts(error: unknown, depth = 0): ErrorFacts {
  if (!(error instanceof Error)) return { type: kindOf(error) };
  const { name, message, stack, cause } = error;
  const code: unknown = 'code' in error ? error.code : undefined;
  const errors = error instanceof AggregateError ? error.errors.slice(0, MOST_ERRORS) : [];
  return {
    type: name,
    message,
    ...(typeof code === 'string' && { code }),
    ...(stack !== undefined && { stack }),
    ...(cause !== undefined && depth < DEEPEST && { cause: errorFacts(cause, depth + 1) }),
    ...(errors.length > 0 && depth < DEEPEST && { errors: errors.map((one) => errorFacts(one, depth + 1)) }),
  };
}

/** The same for a terminal. */
export function errorText(error: unknown): string {
  const { type, stack, cause } = errorFacts(error);
  const reason = cause === undefined ? '' : `\ncaused by ${cause.stack ?? cause.type}`;
  return `${stack ?? `${type} was thrown`}${reason}`;
}

function kindOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}
