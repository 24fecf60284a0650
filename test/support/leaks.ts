import { createPrivateKey, randomBytes } from 'node:crypto';

/** Secrets that can be told from all other text, and from each other, whatever they were encoded in. */
export class Leaks {
  readonly #forms = new Map<string, string[]>();

  /**
   * A new secret for one place: letters and digits that nothing else holds, between some that any encoding changes.
   * @param place named where it is found
   */
  mark(place: string): string {
    const core = `Leak${randomBytes(16).toString('hex')}`;
    this.#forms.set(place, formsOf(Buffer.from(core)));
    return `+/=${core}%&"`;
  }

  /** A signing secret of the same kind: what it decodes to is marked. */
  markSigning(place: string): string {
    const core = `Leak${randomBytes(16).toString('hex')}`;
    this.#forms.set(place, formsOf(Buffer.from(core)));
    return `whsec_${Buffer.from(core).toString('base64')}`;
  }

  /** A private key in PEM that exists already: its lines, and the number that makes it private. */
  watchKey(place: string, pem: string): void {
    const lines = pem.split('\n').filter((line) => line.length > 10 && !line.startsWith('-----'));
    const { d = '' } = createPrivateKey(pem).export({ format: 'jwk' });
    // The first characters of a line are the same in every key of a kind.
    this.#forms.set(place, [
      ...lines.map((line) => line.slice(-24)),
      ...formsOf(Buffer.from(d, 'base64url')),
    ]);
  }

  /** The places whose secret stands in this text, each with the characters around it. */
  in(text: string): string[] {
    const lower = text.toLowerCase();
    return [...this.#forms].flatMap(([place, forms]) =>
      forms.flatMap((form) => {
        const found = lower.indexOf(form.toLowerCase());
        return found < 0 ? [] : [`${place}: …${text.slice(Math.max(found - 80, 0), found + 20)}…`];
      }),
    );
  }
}

/** Plain, hexadecimal, percent-encoded, and base64 wherever it begins in a longer text. */
function formsOf(bytes: Buffer): string[] {
  const hex = bytes.toString('hex');
  const shifted = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replaceAll('=', '');
    // The characters at both ends depend on what stands beside it.
    const inner = text.slice(shift === 0 ? 0 : shift + 1, -2);
    return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')];
  });
  return [bytes.toString('latin1'), hex, hex.replace(/../g, '%$&'), ...shifted];
}
