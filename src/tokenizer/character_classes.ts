/** Letter, number, space or other: what pre-tokenizers ask of every character. @module */

/** Neither of the others. */
export const OTHER = 0;
/** General category L. */
export const LETTER = 1;
/** General category N. */
export const NUMBER = 2;
/** Property White_Space, which is Rust's and Oniguruma's `\s` (JavaScript's differs). */
export const SPACE = 3;

let ofUnits: Uint8Array | undefined;
const ofAstral = new Map<number, number>();

/** [65536] class of each character of the basic plane; surrogates are {@linkcode OTHER}. */
export function classOfUnits(): Uint8Array {
  return ofUnits ??= makeTable();
}

/** Class of a character beyond the basic plane, where there is no white space. */
export function classOfAstral(character: number): number {
  let found = ofAstral.get(character);
  if (found === undefined) {
    const text = String.fromCodePoint(character);
    found = /^\p{L}/u.test(text) ? LETTER : /^\p{N}/u.test(text) ? NUMBER : OTHER;
    ofAstral.set(character, found);
  }
  return found;
}

/** Class of the character at `i`. */
export function classAt(text: string, i: number): number {
  const unit = text.charCodeAt(i);
  if ((unit & 0xfc00) !== 0xd800) return classOfUnits()[unit]!;
  const character = text.codePointAt(i)!;
  return character > 0xffff ? classOfAstral(character) : OTHER;
}

/** UTF-16 units of the character at `i`. */
export function widthAt(text: string, i: number): number {
  return (text.charCodeAt(i) & 0xfc00) === 0xd800 && text.codePointAt(i)! > 0xffff ? 2 : 1;
}

function makeTable(): Uint8Array {
  const table = new Uint8Array(1 << 16);
  const plane = new Uint16Array(1 << 16).map((_, i) => (i & 0xf800) === 0xd800 ? 0 : i);
  const text = new TextDecoder("utf-16le", { ignoreBOM: true }).decode(plane);
  const fill = (runs: RegExp, value: number) => {
    for (const run of text.matchAll(runs)) table.fill(value, run.index, run.index + run[0].length);
  };
  fill(/\p{L}+/gu, LETTER);
  fill(/\p{N}+/gu, NUMBER);
  fill(/\p{White_Space}+/gu, SPACE);
  return table;
}
