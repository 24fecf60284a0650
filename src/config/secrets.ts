import { resolve } from 'node:path';
import { fileTrouble } from './files.ts';

/** What `${…}` in a value stands for; `problem` says what is wrong and never holds a value. */
export type Substitution = { readonly text: string } | { readonly problem: string };

/** How the values of a file are completed; `undefined` in its place leaves them as they are. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  /** Where the relative paths of `${file:PATH}` start. */
  readonly folder: string;
  /** @throws what readFileSync throws */
  readonly read: (file: string) => Buffer;
}

const ROUTE = `\${route}`;

/** Whether `text` holds a `${`; a `$` before anything else is an ordinary character. */
export function hasSubstitution(text: string): boolean {
  return text.includes('${');
}

/** Whether a value may be another in each route. */
export function dependsOnRoute(text: string): boolean {
  return text.includes(ROUTE) || text.includes('${dir:');
}

/** Puts a route's name in the place of `${route}`, also inside another `${…}`: a name holds nothing of their form. */
export function nameRoute(text: string, route: string): string {
  return text.replaceAll(ROUTE, route);
}

/**
 * Replaces each `${NAME}` by the environment's value and each `${file:PATH}` by the file's text less one
 * trailing newline. One pass: what was put in is never read again, so a secret may itself hold `${`.
 */
export function substitute(text: string, surroundings: Surroundings): Substitution {
  if (text.includes(ROUTE))
    return {
      problem: `${ROUTE} is the name of a route, so it has a meaning inside routes and defaults only`,
    };
  let result = '';
  let rest = text;
  for (let start = rest.indexOf('${'); start !== -1; start = rest.indexOf('${')) {
    const end = rest.indexOf('}', start);
    if (end === -1) return { problem: `\${ without a closing }; write \${NAME} or \${file:PATH}` };
    const found = lookUp(rest.slice(start + 2, end), surroundings);
    if ('problem' in found) return found;
    result += rest.slice(0, start) + found.text;
    rest = rest.slice(end + 1);
  }
  return { text: result + rest };
}

function lookUp(inner: string, surroundings: Surroundings): Substitution {
  if (inner.startsWith('file:')) return readSecretFile(inner.slice('file:'.length), surroundings);
  if (inner.startsWith('dir:')) {
    return {
      problem: `\${dir:…} stands for secrets of a folder, so it is an entry of its own in a list of secrets or public_keys of a route; for one value write \${file:PATH}`,
    };
  }
  if (!/^[A-Za-z_]\w*$/.test(inner)) {
    return { problem: `\${${inner}} is not the name of a variable; write \${NAME} or \${file:PATH}` };
  }
  const value = surroundings.env[inner];
  if (value === undefined)
    return { problem: `the environment variable ${inner} is not set; set it, or correct its name` };
  if (value === '') return { problem: `the environment variable ${inner} is set but empty; give it a value` };
  return { text: value };
}

function readSecretFile(path: string, { folder, read }: Surroundings): Substitution {
  if (path === '') return { problem: `\${file:} names no file; write \${file:PATH}` };
  if (path.includes('${'))
    return { problem: `no \${…} but ${ROUTE} can stand inside another; write the path out` };
  return readText(resolve(folder, path), read);
}

/** A file's text less one trailing newline. */
export function readText(file: string, read: Surroundings['read']): Substitution {
  try {
    const text = read(file)
      .toString()
      .replace(/\r?\n$/, '');
    return text === '' ? { problem: `the file ${file} is empty; put the value in it` } : { text };
  } catch (error) {
    return { problem: `cannot read ${file}: ${fileTrouble(error)}` };
  }
}
