import type { FileNotes } from '../config/document.ts';
import { type Configuration, loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problems.ts';
import type { Settings } from '../settings.ts';

/**
 * Reads a configuration whose scripts must work as well: each is compiled, and run as far as it goes without a message.
 * @throws {ConfigError} with every mistake
 */
export async function loadRunnable(file: string, files?: FileNotes): Promise<Configuration> {
  const configuration = loadConfig(file, process.env, files);
  const problems = await scriptProblems(configuration.settings);
  if (problems.length > 0) throw new ConfigError(problems);
  return configuration;
}

async function scriptProblems({ routes }: Settings): Promise<readonly string[]> {
  const transforms = routes.flatMap(({ transform }) => (transform === undefined ? [] : [transform]));
  if (transforms.length === 0) return [];
  // The interpreter is loaded for those alone that have a script.
  const { openEngine } = await import('../transform/engine.ts');
  const engine = await openEngine();
  const problems = new Set<string>();
  for (const transform of transforms) {
    const fault = await engine.check(transform);
    if (fault !== undefined)
      problems.add(
        `${transform.name}:${fault.line}:${fault.column} the script cannot be used: ${fault.sentence}`,
      );
  }
  return [...problems];
}
