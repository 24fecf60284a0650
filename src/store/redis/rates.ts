import { hash } from 'node:crypto';
import type { SharedRates } from '../../store-types.ts';
import { takeCells } from './gcra.ts';
import type { Link } from './link.ts';

/** Rate limits of all gateways of one prefix together. */
export function sharedRates(link: Link, prefix: string): SharedRates {
  return {
    async take(key, cells, longestMs) {
      // A sender chooses part of the key, and how long that is.
      const name = `${prefix}:rate:${hash('sha256', key, 'base64url')}`;
      const { count, againMs, turnMs } = await takeCells(link, name, cells, { wanted: 1, longestMs });
      return count > 0 ? { isTaken: true, afterMs: turnMs } : { isTaken: false, afterMs: againMs };
    },
  };
}
