import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Most tests wait for other processes: more of them than cores keep the cores busy.
    maxWorkers: 6,
    // Half of what starting the program costs is compiling it, and the tests start it a thousand times.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), 'postern-compile-cache') },
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
