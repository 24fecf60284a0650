/**
 * The service behind the gateways that are killed: on the port it is told, it answers a delivery once its own disk has
 * the line that says so, in the file it is told. Each thirteenth is refused, and most are answered a little late.
 */
import { createWriteStream, fdatasync, openSync, writeSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { seeded } from './random.ts';
import { lineOf, nowUs, type Taken } from './record.ts';

const [, , port = '0', file = '', seed = '1'] = process.argv;
const REFUSED_EACH = 13;
const LONGEST_DELAY_MS = 16;
const sync = promisify(fdatasync);
const random = seeded(Number(seed));
const record = openSync(file, 'a');
const answers = createWriteStream(`${file}-answers`, { flags: 'a' });

interface Open {
  readonly taken: Taken;
  readonly response: ServerResponse;
}

let unwritten: Open[] = [];
let isWriting = false;
let count = 0;

const server = createServer((request, response) => {
  request.resume().once('end', () => {
    count += 1;
    const status = count % REFUSED_EACH === 0 ? 503 : 200;
    unwritten.push({ taken: { ...namesIn(request.headers), atUs: nowUs(), status }, response });
    void write();
  });
  request.once('error', () => undefined);
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1');

function namesIn(headers: IncomingHttpHeaders): Pick<Taken, 'id' | 'attempt' | 'gateway'> {
  const of = (name: string) => String(headers[name] ?? '');
  return { id: of('webhook-id'), attempt: Number(of('x-postern-attempt')), gateway: of('x-gateway') };
}

/** All that arrived while the disk was busy share one write. */
async function write(): Promise<void> {
  if (isWriting) return;
  isWriting = true;
  while (unwritten.length > 0) {
    const batch = unwritten;
    unwritten = [];
    writeSync(record, batch.map(({ taken }) => lineOf(taken)).join(''));
    await sync(record);
    for (const one of batch) setTimeout(() => answer(one), random() * LONGEST_DELAY_MS);
  }
  isWriting = false;
}

function answer({ taken, response }: Open): void {
  response.writeHead(taken.status).end();
  answers.write(`${taken.atUs} ${taken.id} ${nowUs()}\n`);
}
