import type { Log } from '../../record/log.ts';
import type { RouteSettings, Settings } from '../../settings.ts';
import { openStore } from '../../state.ts';
import { StateFileError } from '../../store/state-file.ts';
import type { Store } from '../../store-types.ts';
import { CliError } from '../exit.ts';

/**
 * Opens the state, and logs what becomes of it.
 * @param current the settings that are in force
 * @throws CliError where it cannot be opened
 */
export async function openState(
  settings: Settings,
  { logger }: Log,
  current: () => Settings,
): Promise<Store> {
  const { state } = settings;
  try {
    return await openStore(settings, {
      warn: (warning) => logger.warn({ warning }, 'state'),
      away: (problem) => {
        const { refused, allowed } = byLoss(current());
        logger.warn({ problem, refused: namesOf(refused), allowed: namesOf(allowed) }, 'state away');
      },
      back: (awayMs) => logger.info({ away_ms: Math.round(awayMs) }, 'state back'),
    });
  } catch (error) {
    const where = state.driver === 'sqlite' ? `: ${state.path}` : '';
    const code = error instanceof StateFileError ? 78 : 1;
    throw new CliError(`state${where}: ${(error as Error).message}`, code);
  }
}

/** Why the state keeps the gateway from taking traffic; `undefined`: it does not. */
export function notReadyFor(store: Store, settings: Settings): string | undefined {
  const problem = store.problem();
  if (problem === undefined || settings.state.driver !== 'redis') return problem;
  return byLoss(settings).refused.length > 0 ? problem : undefined;
}

/** The routes that need the state, by what they do without it. */
function byLoss({ routes }: Settings): Record<'refused' | 'allowed', readonly RouteSettings[]> {
  const needing = routes.filter(
    ({ signature, rateLimits, deliver }) =>
      signature !== undefined || deliver === 'queue' || rateLimits.length > 0,
  );
  return {
    refused: needing.filter(({ onStateLoss }) => onStateLoss === 'refuse'),
    allowed: needing.filter(({ onStateLoss }) => onStateLoss === 'allow'),
  };
}

function namesOf(routes: readonly RouteSettings[]): readonly string[] {
  return routes.map(({ name }) => name);
}
