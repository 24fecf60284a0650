type Ending = () => void | Promise<void>;

/** Whether the test runner runs this: elsewhere its hooks throw. */
export const isTestRun = process.env.VITEST !== undefined;

const endings: Ending[] = [];
const runner = isTestRun ? await import('vitest') : undefined;

/** Runs `end` when the test file has ended; in a program without the test runner, at `endAll`. */
export function afterAll(end: Ending): void {
  if (runner === undefined) endings.push(end);
  else runner.afterAll(end);
}

/** Runs what was left for the end, the last first. Only for a program without the test runner. */
export async function endAll(): Promise<void> {
  for (const end of endings.splice(0).reverse()) await end();
}
