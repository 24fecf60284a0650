import type { Target } from '../settings.ts';
import { scalar, type Wrong, wrong } from './values.ts';

/** Where an upstream listens: `http://host:port`, `https://host:port` or `http+unix:/path`. */
export function target(
  expected = 'a target such as http://127.0.0.1:9000, https://10.0.0.5:8443 or http+unix:/run/app.sock',
) {
  return scalar<Target>({
    expected,
    pattern: '(?:https?://[^/?#@]+/?|http\\+unix:/[^?#]+)',
    read: readTarget,
  });
}

function readTarget(name: string): Target | Wrong | undefined {
  if (name.startsWith('http+unix:')) return readSocket(name);
  if (!/^https?:\/\//.test(name) || !URL.canParse(name)) {
    return name.includes('@')
      ? wrong('the target cannot be read; write http://host:port, without credentials')
      : undefined;
  }
  const url = new URL(name);
  if (url.username !== '' || url.password !== '' || name.includes('@')) {
    return wrong('a target carries no credentials; give them as headers: of the upstream');
  }
  if (/[?#]/.test(name)) return { wrong: 'a target carries no query and no fragment' };
  if (url.pathname !== '/')
    return { wrong: 'a target carries no path; give it as upstream_path of the route' };
  if (/[\s\\]/.test(name) || url.port === '0') return undefined;
  return { name, origin: url.origin, socketPath: undefined };
}

function readSocket(name: string): Target | Wrong {
  const socketPath = name.slice('http+unix:'.length);
  if (!/^\/[^/]/.test(socketPath))
    return { wrong: 'a socket is named by its absolute path: http+unix:/run/app.sock' };
  if (/[?#\x00-\x1f]/.test(socketPath)) return { wrong: 'a target carries no query and no fragment' };
  return { name, origin: 'http://localhost', socketPath };
}
