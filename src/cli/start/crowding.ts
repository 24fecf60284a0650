import type { AcceptNotes } from '../../listen/accept.ts';
import type { Given } from '../../listen/crowd.ts';
import type { Log } from '../../record/log.ts';
import type { Metrics } from '../../record/metrics.ts';

/** Counts connections that ended before their first request; a flood of them is one line a second in the log. */
export function crowdNotes({ log, metrics }: { log: Log; metrics: Metrics }): AcceptNotes {
  const warnOf = (who: Given) =>
    onceASecond((address: string) =>
      log.logger.warn({ peer: { address }, gave_way: who }, 'limits.connections reached'),
    );
  const warnOfFull = {
    unfinished: warnOf('unfinished'),
    idle: warnOf('idle'),
    newcomer: warnOf('newcomer'),
  } satisfies Record<Given, unknown>;
  const warnOfCap = onceASecond((address: string) =>
    log.logger.warn({ peer: { address } }, 'limits.connections_per_address reached'),
  );
  const warnOfHandshakes = onceASecond((address: string) =>
    log.logger.warn({ peer: { address } }, 'too many handshakes at once'),
  );
  return {
    full: (who, address) => {
      if (who === 'newcomer') metrics.refusedConnection('limits.connections');
      else metrics.gaveWay(who);
      warnOfFull[who](address);
    },
    overCap: (address) => {
      metrics.refusedConnection('limits.connections_per_address');
      warnOfCap(address);
    },
    droppedHandshake: (address) => {
      metrics.shed('handshakes');
      warnOfHandshakes(address);
    },
    failedHandshake: (address, code) => {
      metrics.refusedConnection('handshake');
      log.logger.debug({ peer: { address }, code }, 'handshake failed');
    },
  };
}

function onceASecond<Arguments extends readonly unknown[]>(
  act: (...given: Arguments) => void,
): (...given: Arguments) => void {
  let lastMs = Number.NEGATIVE_INFINITY;
  return (...given) => {
    const nowMs = performance.now();
    if (nowMs - lastMs < 1000) return;
    lastMs = nowMs;
    act(...given);
  };
}
