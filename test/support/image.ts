import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** npm with the Node that runs this test found first, as npm's own scripts do it. */
const env = {
  ...process.env,
  PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
  npm_config_offline: '',
};

/** One line of a Dockerfile, its continuations joined: `COPY`, and what follows. */
export interface Instruction {
  readonly word: string;
  readonly text: string;
}

/** The instructions of a Dockerfile, stage by stage. */
export function readDockerfile(): Instruction[][] {
  const text = readFileSync('Dockerfile', 'utf8')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll('\\\n', ' ');
  const stages: Instruction[][] = [];
  for (const line of text.split('\n').filter((one) => one.trim() !== '')) {
    const [, word = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (word === 'FROM') stages.push([]);
    stages.at(-1)?.push({ word, text: rest.trim() });
  }
  return stages;
}

/** What follows the last `word` of the image's own stage. */
export function lastOf(word: string): string {
  return (
    readDockerfile()
      .at(-1)
      ?.findLast((one) => one.word === word)?.text ?? ''
  );
}

/** Whether the build may see a file of this folder, by .dockerignore: a list of `*`, and of what is let through. */
export function isInContext(name: string): boolean {
  const [everything, ...lines] = readFileSync('.dockerignore', 'utf8').trim().split('\n');
  if (everything !== '*' || !lines.every((line) => line.startsWith('!')))
    throw new Error('another .dockerignore');
  return lines.some((line) => name === line.slice(1) || name.startsWith(`${line.slice(1)}/`));
}

/** An image's tree below a folder, made by the Dockerfile's own steps, where there is no Docker. */
export interface Image {
  /** Stands for `/`. */
  readonly root: string;
  /** A text of the Dockerfile with the image's paths below `root`. */
  here(text: string): string;
  /** An array of strings, as ENTRYPOINT, CMD and HEALTHCHECK hold, without its `node` where it begins with it. */
  words(json: string): string[];
  remove(): void;
}

const OWN_PATHS = /(?<=^|[\s="])\/(?:opt\/)?postern(?=[/\s",]|$)/g;

/** Runs every COPY and RUN of both stages; the owner of a file stays who runs this. */
export async function buildImage(): Promise<Image> {
  const top = mkdtempSync(join(tmpdir(), 'postern-image-'));
  const roots = new Map<string, string>();
  for (const [place, stage] of readDockerfile().entries()) {
    const [, name = String(place)] = / AS (\w+)$/i.exec(stage[0]?.text ?? '') ?? [];
    const root = join(top, name);
    roots.set(name, root);
    let folder = root;
    for (const { word, text } of stage) {
      if (word === 'WORKDIR') {
        folder = join(root, text);
        mkdirSync(folder, { recursive: true });
      } else if (word === 'COPY') copy(text, roots, root, folder);
      else if (word === 'RUN')
        await run('sh', ['-ec', `chown() { :; }; ${under(root, text)}`], { cwd: folder, env });
    }
  }
  const root = [...roots.values()].at(-1) as string;
  const here = (text: string): string => under(root, text);
  return {
    root,
    here,
    words: (json) => {
      const words = JSON.parse(json) as string[];
      return words.slice(words[0] === 'node' ? 1 : 0).map(here);
    },
    remove: () => rmSync(top, { recursive: true, force: true }),
  };
}

function under(root: string, text: string): string {
  return text.replaceAll(OWN_PATHS, (path) => root + path);
}

function copy(text: string, roots: ReadonlyMap<string, string>, root: string, folder: string): void {
  const [, stage, rest = text] = /^--from=(\w+) (.*)$/.exec(text) ?? [];
  const names = rest.split(' ');
  const target = names.pop() as string;
  const to = target.startsWith('/') ? join(root, target) : join(folder, target);
  for (const name of names) {
    if (stage === undefined && !isInContext(name)) throw new Error(`.dockerignore keeps ${name} out`);
    const from = stage === undefined ? name : join(roots.get(stage) as string, name);
    if (!existsSync(from)) throw new Error(`COPY of ${name}, which is not there`);
    cpSync(from, target.endsWith('/') ? join(to, basename(name)) : to, { recursive: true });
  }
}
