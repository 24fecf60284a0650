import type { SignatureRule } from './signature-settings.ts';

/** What is known of a kind of sender: data, one file each in `config/senders`. */
export interface SenderProfile {
  readonly name: string;
  readonly title: string;
  readonly documentation: string;
  readonly addresses: readonly string[] | undefined;
  readonly methods: readonly string[];
  /** Whether this sender can present a client certificate. */
  readonly clientCertificate: boolean;
  readonly signature: SignatureRule | undefined;
  /** How long the sender waits for an answer. */
  readonly deadlineMs: number | undefined;
  readonly retries: {
    /** The statuses after which the sender tries again; none: it never does. */
    readonly statuses: 'not-2xx' | readonly number[];
    /** The pauses between attempts; none: it does not try again, or does not say when. */
    readonly scheduleMs: readonly number[];
  };
  readonly redirects: 'failed' | 'followed';
  /** Statuses on which the sender switches the endpoint off. */
  readonly disabledBy: readonly number[];
  /** Where things stand in the message: paths of keys, the first that is there counts. */
  readonly event: {
    readonly type: readonly (readonly string[])[];
    readonly tags: readonly (readonly string[])[];
    readonly company: readonly (readonly string[])[];
  };
  /** The header that names the sender's client, in lower case. */
  readonly clientHeader: string | undefined;
}
