/**
 * A lane is what events of the queue stand in: a route's own, named as the route, or that of one of its clients, named
 * `route/client`. A route's name holds no `/`, and the client's id is written so that none of it can be taken for more
 * than a name, in a key of Redis or on a command line.
 */
export function laneOf(route: string, client: string | undefined): string {
  return client === undefined ? route : `${route}/${encodeURIComponent(client)}`;
}

/** Whose a lane is. */
export function ownerOf(lane: string): { readonly route: string; readonly client: string | undefined } {
  const end = lane.indexOf('/');
  if (end < 0) return { route: lane, client: undefined };
  const written = lane.slice(end + 1);
  return { route: lane.slice(0, end), client: decoded(written) ?? written };
}

/** Whether a lane is among those that an operator asks for: a route with all its clients, or `route/client` alone. */
export function isAskedLane(lane: string, asked: string): boolean {
  return lane === asked || lane.startsWith(`${asked}/`);
}

/** What the keys of the claims of a route, or of one of its clients, begin with. */
export function claimsOf(asked: string): string {
  const { route, client } = ownerOf(asked);
  return client === undefined ? `${route}\n` : `${route}\n${client}\n`;
}

/** `undefined`: somebody typed what no lane is called. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
