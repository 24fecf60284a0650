import type { ContentPiece, ContentPlace } from '../signature-settings.ts';
import { suggestion } from './problems.ts';

const PLACES: readonly ContentPlace[] = ['timestamp', 'id', 'method', 'url', 'body', 'form'];

/** Signed content as it is declared, taken apart, or what is wrong with it in a sentence. */
export function readContent(text: string): readonly ContentPiece[] | { readonly wrong: string } {
  const pieces: ContentPiece[] = [];
  for (const [part] of text.matchAll(/\{[^{}]*\}|[^{}]+|[{}]/g)) {
    const name = part.startsWith('{') && part.endsWith('}') ? part.slice(1, -1) : undefined;
    const place = PLACES.find((known) => known === name);
    if (place !== undefined) pieces.push({ place });
    else if (name !== undefined) return { wrong: `there is no place ${part}; ${suggestion(name, PLACES)}` };
    else if (/[{}]/.test(part)) return { wrong: `a ${part} stands alone; write a place such as {body}` };
    else pieces.push({ text: part });
  }
  const twice = PLACES.find((place) => pieces.filter((piece) => isPlace(piece, place)).length > 1);
  if (twice !== undefined) return { wrong: `{${twice}} stands there twice; leave one of the two` };
  const covers = ['body', 'form'].filter((place) => pieces.some((piece) => isPlace(piece, place)));
  if (covers.length === 0) {
    return {
      wrong:
        'covers no body, so another could be put under any signature; add {body}, or {form} for the fields of a form',
    };
  }
  if (covers.length > 1)
    return { wrong: '{body} and {form} are two readings of one body; leave one of the two' };
  const after = pieces[pieces.findIndex((piece) => isPlace(piece, 'id')) + 1];
  // `a` before `1…` would be signed like `a1` before `…`.
  if (pieces.some((piece) => isPlace(piece, 'id')) && after !== undefined && !('text' in after)) {
    return { wrong: `nothing stands between {id} and {${after.place}}, so nobody knows where the id ends` };
  }
  return pieces;
}

/** Whether a piece is this place. */
export function isPlace(piece: ContentPiece, place: string): boolean {
  return 'place' in piece && piece.place === place;
}

/** The notation of the file. */
export function contentText(pieces: readonly ContentPiece[]): string {
  return pieces.map((piece) => ('text' in piece ? piece.text : `{${piece.place}}`)).join('');
}
