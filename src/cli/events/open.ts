import { existsSync } from 'node:fs';
import { settingsOf } from '../../clients.ts';
import { loadConfig } from '../../config/load.ts';
import { suggestion } from '../../config/problems.ts';
import type { EventDetail, Events } from '../../events.ts';
import { laneOf } from '../../lane.ts';
import type { Settings } from '../../settings.ts';
import { openEvents } from '../../state.ts';
import { CliError, configError } from '../exit.ts';
import { visible } from './visible.ts';

/** What every command of events is told. */
export interface Where {
  readonly config: string;
  readonly route?: string;
}

/**
 * Opens the events of a configuration's state, does the work and closes them again.
 * @throws CliError with a sentence where the state is not there or fails, with exit code 78 for the configuration
 */
export async function withEvents<T>(
  where: Where,
  work: (events: Events, settings: Settings) => Promise<T>,
): Promise<T> {
  const { settings } = await configError(() => loadConfig(where.config));
  noteUnknownRoute(where.route, settings);
  const { state } = settings;
  if (state.driver === 'memory')
    throw new CliError(
      'state.driver: memory keeps nothing beyond the process of the gateway, so there is nothing to look at; write driver: sqlite or redis',
    );
  // Looked for here, since opening a file that is not there would make it.
  if (state.driver === 'sqlite' && !existsSync(state.path))
    throw new CliError(
      `no state file at ${state.path} yet: the gateway makes it when it starts; is --config the one it runs with?`,
    );
  const label = 'path' in state ? `state file ${state.path}` : 'state';
  let events: Events | undefined;
  try {
    events = await openEvents(settings);
    return await work(events, settings);
  } catch (error) {
    throw explained(label, error);
  } finally {
    await events?.close();
  }
}

/** The events that an id names: a message id may be that of several, an event's own id is that of one. */
export async function findAll(
  events: Events,
  id: string,
  route: string | undefined,
): Promise<readonly EventDetail[]> {
  const found = await events.find(id, route);
  // A sender may choose another event's id for its message: an operator who types that id means the other one.
  const own = found.filter((event) => event.id === id);
  return own.length > 0 ? own : found;
}

/** What the state's own software throws, as a sentence; a fault of this program as it is. */
function explained(label: string, error: unknown): unknown {
  const isOurs = error instanceof CliError || error instanceof TypeError || error instanceof ReferenceError;
  return isOurs || !(error instanceof Error) ? error : new CliError(`${label}: ${visible(error.message)}`);
}

/** A route that was renamed or removed may still have events, so it can be named; a mistyped one is told. */
function noteUnknownRoute(route: string | undefined, { routes }: Settings): void {
  const names = routes.flatMap(settingsOf).map(({ name, client }) => laneOf(name, client?.id));
  if (route === undefined || names.includes(route)) return;
  process.stderr.write(
    `note: the configuration has no route ${visible(JSON.stringify(route))}; ${suggestion(route, names)}\n`,
  );
}
