import type { Events } from './events.ts';
import type { Settings } from './settings.ts';
import { memoryStore } from './store/memory.ts';
import type { RedisNotes } from './store/redis/open.ts';
import { sqliteStore } from './store/sqlite.ts';
import { openSqliteEvents } from './store/sqlite-events.ts';
import type { Store } from './store-types.ts';

/**
 * Opens the state that the settings name. One that is beyond this machine may be away, and come later.
 * @throws Error where another program keeps it locked, StateFileError where an operator has to act
 */
export async function openStore({ state }: Settings, notes: RedisNotes): Promise<Store> {
  switch (state.driver) {
    case 'memory':
      return memoryStore(state.retention, notes.warn);
    case 'sqlite':
      return sqliteStore(state, notes.warn);
    case 'redis': {
      // Its clients are large, and most gateways have no use for them.
      const { redisStore } = await import('./store/redis/open.ts');
      return redisStore(state, notes);
    }
  }
}

/**
 * Opens the events of the state that the settings name, for the operator.
 * @throws Error where there are none, or another program keeps them locked
 */
export async function openEvents({ state }: Settings): Promise<Events> {
  switch (state.driver) {
    case 'sqlite':
      return openSqliteEvents(state.path, state.keys);
    case 'redis': {
      const { redisEvents } = await import('./store/redis/events.ts');
      return redisEvents(state);
    }
    case 'memory':
      throw new Error(
        'state.driver: memory keeps nothing beyond the process of the gateway; write driver: sqlite',
      );
  }
}
