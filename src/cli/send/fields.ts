/** The fields of a request by name, spelled as they are written; a list is sent as repeated fields. */
export type Fields = Readonly<Record<string, string | readonly string[]>>;

/**
 * The whole head's fields, in the order and spelling in which Svix's dispatcher writes them: title case for those of
 * the connection (hyper's `http1_title_case_headers`), but lower case for those of the event, and as its customer
 * typed them for custom ones, since a name that is kept with its spelling is written in that (`HeaderCaseMap`;
 * svix-webhooks, server/svix-server/src/core/webhook_http_client.rs and worker.rs, read in November 2026). Host stands
 * first, as some receivers expect it; Content-Length last.
 * @param custom wins over what the dispatcher sets itself, whatever its spelling
 */
export function writeFields(url: URL, event: Fields, custom: Fields, bytes: number): Fields {
  const fields = new Map<string, readonly [string, string | readonly string[]]>();
  const set = (name: string, value: string | readonly string[]): void => {
    fields.set(name.toLowerCase(), [name, value]);
  };
  set('Host', url.host);
  set('Accept', '*/*');
  for (const [name, value] of Object.entries(event)) set(name, value);
  for (const [name, value] of Object.entries(custom)) set(name, value);
  set('Content-Length', String(bytes));
  return Object.fromEntries(fields.values());
}

/** All fields but those of one name, in any spelling. */
export function withoutField(fields: Fields, name: string): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => key.toLowerCase() !== name));
}
