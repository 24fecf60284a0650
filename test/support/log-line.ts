/** One line of the log, as JSON. */
export interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** The record of one request. */
export interface RequestLine extends LogLine {
  readonly msg: 'request';
  readonly id: string;
  readonly route?: string;
  readonly sender?: string;
  readonly client?: string;
  readonly peer: {
    readonly address: string;
    readonly certificate?: { readonly subject: string; readonly fingerprint: string };
  };
  readonly method?: string;
  readonly path?: string;
  readonly status?: number;
  readonly outcome: string;
  readonly reason?: string;
  readonly detail?: string;
  readonly message_id?: string;
  readonly event_type?: string;
  readonly secret?: number;
  readonly would_refuse?: readonly string[];
  readonly bytes?: number;
  readonly upstream?: string;
  readonly upstream_status?: number;
  readonly ms: {
    readonly total: number;
    readonly waited?: number;
    readonly body?: number;
    readonly upstream?: number;
  };
}

/** The line as a request's record; `undefined` for any other line. */
export function requestLine(line: LogLine): RequestLine | undefined {
  return line.msg === 'request' ? (line as RequestLine) : undefined;
}
