/**
 * What a transformation of Postern (`transform:` of a route) is given and returns: the contract of the transformations
 * in Codat's portal. In a script: `/// <reference path="../config/transform.d.ts" />`, with `// @ts-check` above.
 */
interface Webhook {
  /** As received; may become POST or PUT. */
  method: string;
  /**
   * The path (and query) at the route's upstream; may become another, or `upstream:NAME/path` for another upstream of the
   * configuration. Anything else is refused.
   */
  url: string;
  /** The whole message, parsed. Left as it is, the bytes that were received are delivered, and their signature with them. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever the sender's events hold
  payload: any;
  /** `true`: the message is acknowledged and not delivered. */
  cancel: boolean;
}

/**
 * Each script defines this. It runs in a fresh context for each message, without I/O. `Date.now()` and `new Date()` are
 * the time at which the message was received, and there is no `Math.random`: a delivery that is tried again is the same.
 * What it throws is a failure of the gateway: the sender, or the queue, tries again.
 */
declare function handler(webhook: Webhook): Webhook;
