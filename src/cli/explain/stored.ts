import type { EventDetail } from '../../events.ts';
import { messageOf } from '../../evidence.ts';
import { findAll, withEvents } from '../events/open.ts';
import { notFound } from '../events/show.ts';
import { visible } from '../events/visible.ts';
import { CliError } from '../exit.ts';
import type { Capture, GivenCertificate } from './capture.ts';

/** An event of the state as a captured request, and the route that took it. */
export interface StoredCapture {
  readonly capture: Capture;
  readonly route: string;
}

/**
 * Reads an event of the state.
 * @throws CliError, exit code 1, where there is none or it cannot be read; 2, where an id names several
 */
export async function readStored(
  config: string,
  id: string,
  route: string | undefined,
): Promise<StoredCapture> {
  const [event, ...others] = await withEvents({ config }, (events) => findAll(events, id, route));
  if (event === undefined) throw new CliError(notFound(id, route));
  if (others.length > 0) {
    const all = [event, ...others].map(
      (one) => `${visible(one.id)} (route ${visible(one.route)}, ${one.state})`,
    );
    throw new CliError(
      `${visible(id)} names ${all.length} events; give the own id of one: ${all.join(', ')}`,
      2,
    );
  }
  if (event.unreadable !== undefined)
    throw new CliError(`the payload of ${visible(event.id)} is not known: ${visible(event.unreadable)}`);
  return { capture: captureOf(event), route: event.route };
}

function captureOf(event: EventDetail): Capture {
  const { body, address, receivedMs, evidence, forced } = event;
  const { method, path, query, authority, host, headers, contentLength } = messageOf(event);
  const request = { method, path, query, authority, host, headers, contentLength };
  return {
    head: { request, expectsContinue: false, wantsClose: false, refusal: undefined },
    body,
    address,
    certificate: certificateOf(event),
    timeMs: receivedMs,
    isStored: true,
    notes: [
      ...(evidence === undefined
        ? ['Of an event that was never in quarantine only the headers are kept that go to the upstream.']
        : []),
      ...(forced === undefined ? [] : [`It was released by force, by ${forced.by}: ${forced.reason}`]),
    ],
  };
}

function certificateOf({ certificate, evidence }: EventDetail): GivenCertificate {
  if (certificate === undefined) return 'none';
  const { names, publicKey, notAfterMs } = evidence?.certificate ?? {};
  return { ...certificate, names, publicKey, notAfterMs };
}
