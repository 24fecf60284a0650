import { fieldValue } from '../../fields.ts';
import { ChunkedFraming } from '../../listen/framing.ts';
import { MOST_HEAD_BYTES, parseHead } from '../../listen/head.ts';
import type { RequestHead } from '../../types.ts';
import { CliError } from '../exit.ts';
import type { Capture } from './capture.ts';

/**
 * Reads a request as it was on the wire: head, empty line, body.
 * @throws CliError, exit code 2, where the head has no end
 */
export function readRaw(bytes: Buffer, file: string): Capture {
  const notes: string[] = [];
  const { text, end } = headOf(bytes, file, notes);
  const head = parseHead(text);
  const rest = bytes.subarray(end);
  const body = 'request' in head ? bodyOf(rest, head.request, notes) : rest;
  return { head, body, address: undefined, certificate: undefined, timeMs: undefined, notes };
}

function headOf(bytes: Buffer, file: string, notes: string[]): { text: string; end: number } {
  const start = bytes.toString('latin1', 0, MOST_HEAD_BYTES + 4);
  const crlf = start.indexOf('\r\n\r\n');
  const lf = start.indexOf('\n\n');
  if (crlf >= 0 && (lf < 0 || crlf < lf)) return { text: start.slice(0, crlf + 2), end: crlf + 4 };
  if (lf < 0) {
    throw new CliError(
      `${file} is no request: no empty line ends its head within ${MOST_HEAD_BYTES} bytes; give head, empty line and body, or JSON`,
      2,
    );
  }
  notes.push(
    'The head has bare line feeds, which the gateway refuses; it is read as if they were CRLF, since an editor or a shell makes them so: capture the bytes, and keep editors away.',
  );
  return {
    text: `${start.slice(0, lf).replaceAll('\r\n', '\n').replaceAll('\n', '\r\n')}\r\n`,
    end: lf + 2,
  };
}

function bodyOf(rest: Buffer, { contentLength, headers }: RequestHead, notes: string[]): Buffer {
  if (contentLength === undefined) return chunkedBody(rest, notes);
  if (fieldValue(headers, 'content-length') === undefined) {
    if (rest.length > 0)
      notes.push(
        `The head says of no body, and ${rest.length} bytes follow: they are taken for the body, which the gateway would not do.`,
      );
    return rest;
  }
  if (rest.length > contentLength)
    notes.push(
      `Behind the ${contentLength} bytes of Content-Length stand ${rest.length - contentLength} more, which are left out, as the gateway does.`,
    );
  return lengthChecked(rest.subarray(0, contentLength), contentLength, notes);
}

/** Says where a body is not as long as its head says. */
export function lengthChecked(body: Buffer, contentLength: number, notes: string[]): Buffer {
  if (body.length !== contentLength)
    notes.push(
      `Content-Length says ${contentLength} bytes and the capture has ${body.length}: something has changed the body since; capture it where it arrives, byte for byte.`,
    );
  return body;
}

function chunkedBody(rest: Buffer, notes: string[]): Buffer {
  const framing = new ChunkedFraming();
  const chunks: Buffer[] = [];
  const used = framing.push(rest, (content) => {
    chunks.push(content);
    return true;
  });
  if (used >= 0 && framing.done) return Buffer.concat(chunks);
  notes.push(
    'The head says chunked, and what follows is not, or not whole: it is taken for the body as it stands.',
  );
  return rest;
}
