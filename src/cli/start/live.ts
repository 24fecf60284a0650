import type { Built } from '../../build.ts';
import type { Settings } from '../../settings.ts';
import type { Handler } from '../../types.ts';

const POLL_MS = 500;

/** The gateway that takes requests, whichever configuration it was built from: one reference, replaced whole. */
export interface Live {
  readonly settings: Settings;
  readonly built: Built;
  /** Requests go to the gateway that is the current one when their heads have been read. */
  readonly handler: Handler;
  /** What begins from now on is the new one's; what is under way ends with the old one. */
  replace(settings: Settings, built: Built): void;
  /** How many requests are under way, in all generations. */
  inFlight(): number;
  /** How many exchanges with upstreams are. */
  exchanges(): number;
  giveUpAll(): void;
  close(): void;
}

export function liveGateway(settings: Settings, built: Built): Live {
  let current = { settings, built };
  const retired = new Set<Built>();
  const sweeping = setInterval(() => {
    for (const old of retired) if (isOver(old)) forget(old);
  }, POLL_MS).unref();

  function forget(old: Built): void {
    retired.delete(old);
    old.release();
  }

  const gateways = () => [current.built, ...retired].map(({ gateway }) => gateway);
  return {
    get settings() {
      return current.settings;
    },
    get built() {
      return current.built;
    },
    handler: {
      handle: (head, sender) => current.built.gateway.handle(head, sender),
      refuseUnread: (refusal, unread) => current.built.gateway.refuseUnread(refusal, unread),
      refuseConnection: (refusal, address) => current.built.gateway.refuseConnection(refusal, address),
    },
    replace: (next, nextBuilt) => {
      retired.add(current.built);
      current = { settings: next, built: nextBuilt };
    },
    inFlight: () => gateways().reduce((sum, gateway) => sum + gateway.inFlight(), 0),
    exchanges: () => gateways().reduce((sum, gateway) => sum + gateway.exchanges(), 0),
    giveUpAll: () => {
      for (const gateway of gateways()) gateway.giveUpAll();
    },
    close: () => clearInterval(sweeping),
  };
}

function isOver({ gateway }: Built): boolean {
  return gateway.inFlight() === 0 && gateway.exchanges() === 0;
}
