import { earlyMember, memberAt, parseMessage } from './message.ts';
import type { SenderProfile } from './sender-profile.ts';

/** Larger bodies are not parsed for the sake of one word in the log. */
const PARSED_BYTES = 64 * 1024;
const EARLY_BYTES = 512;
const LONGEST = 128;

/** Compiles the reader of an event's type, for the record only: nothing is decided by it. */
export function eventTypeReader(sender: SenderProfile | undefined): (body: Buffer) => string | undefined {
  const paths = sender?.event.type ?? [];
  if (paths.length === 0) return () => undefined;
  const early = paths.flatMap(([key, ...rest]) =>
    key === undefined || rest.length > 0 ? [] : [earlyMember(key)],
  );
  return (body) => {
    if (body.length === 0 || body.length > PARSED_BYTES) return undefined;
    const start = body.toString('latin1', 0, EARLY_BYTES);
    for (const pattern of early) {
      const type = pattern.exec(start)?.[1];
      if (type !== undefined) return type;
    }
    const message = parseMessage(body);
    return message instanceof Error ? undefined : memberAt(message, paths)?.slice(0, LONGEST);
  };
}
