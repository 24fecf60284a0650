import type { Bytes } from './wire.ts';

/** A request, before it is bytes. Nothing in it is corrected on the way: it may be wrong on purpose. */
export interface Message {
  readonly method: string;
  readonly target: string;
  readonly version: '1.0' | '1.1';
  /** In this order, spelled so; a name may stand twice. Content-Length and Transfer-Encoding come from `framing`. */
  readonly fields: readonly Field[];
  readonly body: Buffer;
  readonly framing: 'length' | 'chunked' | 'none';
  /** In how many pieces the body goes, and how long each is waited with. */
  readonly pieces: number;
  readonly pauseMs: number;
}

export type Field = readonly [name: string, value: string];

/** A large body goes in pieces, so that an answer to its head is heard before all is written. */
const PIECE_BYTES = 65_536;

/** The bytes of a request (RFC 9112). */
export function encode(message: Message): Bytes {
  const { method, target, version, fields, body, framing, pauseMs } = message;
  const lines = [
    `${method} ${target} HTTP/${version}`,
    ...fields.map(([name, value]) => `${name}: ${value}`),
  ];
  if (framing === 'length') lines.push(`${lengthName(fields)}: ${body.length}`);
  if (framing === 'chunked') lines.push('Transfer-Encoding: chunked');
  const pieces = cut(body, message.pieces);
  return {
    head: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'),
    body: framing === 'chunked' ? [...pieces.map(chunk), Buffer.from('0\r\n\r\n')] : pieces,
    pauseMs,
  };
}

/** Every other field without one name, in any spelling. */
export function without(fields: readonly Field[], ...names: readonly string[]): Field[] {
  return fields.filter(([name]) => !names.includes(name.toLowerCase()));
}

/** Where all names are in capitals, this one is as well. */
function lengthName(fields: readonly Field[]): string {
  return fields.every(([name]) => name === name.toUpperCase()) ? 'CONTENT-LENGTH' : 'Content-Length';
}

function cut(body: Buffer, count: number): Buffer[] {
  const size = Math.max(1, Math.min(PIECE_BYTES, Math.ceil(body.length / count)));
  return Array.from({ length: Math.ceil(body.length / size) }, (_, n) =>
    body.subarray(n * size, (n + 1) * size),
  );
}

function chunk(piece: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
}
