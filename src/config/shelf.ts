import { dirname, resolve } from 'node:path';
import type { SenderProfile } from '../sender-profile.ts';
import type { Path } from './document.ts';
import { ConfigError, type Report, suggestion } from './problems.ts';
import { loadSender, senderNames } from './senders.ts';

/** The profiles that the routes of one configuration name, each read once. */
export interface SenderShelf {
  /** @returns `undefined` when there is none, or none that is right: reported */
  get(name: string, path: Path): SenderProfile | undefined;
  /** What is wrong inside the profiles' own files. */
  readonly problems: readonly string[];
}

export function createShelf(report: Report): SenderShelf {
  const folder = dirname(report.source.name);
  const known = senderNames(folder);
  const profiles = new Map<string, SenderProfile | undefined>();
  const problems: string[] = [];
  const read = (name: string): SenderProfile | undefined => {
    try {
      return loadSender(name, folder, report.source.files);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  };
  return {
    problems,
    get(name, path) {
      // One of the same name beside the configuration would take its place, now or later.
      noteOwnProfile(name, report);
      if (!known.includes(name)) {
        report.add(
          path,
          `there is no sender profile ${report.source.show(path)}; ${suggestion(name, known)}`,
        );
        return undefined;
      }
      if (!profiles.has(name)) profiles.set(name, read(name));
      return profiles.get(name);
    },
  };
}

function noteOwnProfile(name: string, { source }: Report): void {
  const own = resolve(source.folder, 'senders', `${name}.yaml`);
  if (!source.files.has(own)) source.files.set(own, undefined);
}
