/**
 * Pre-tokenizer patterns of well-known models, as hand-written scanners: some five times as fast as
 * the regular expression, with the same pieces (a test compares them on random text).
 *
 * @module
 */
import {
  classAt,
  classOfUnits,
  LETTER,
  NUMBER,
  OTHER,
  SPACE,
  widthAt,
} from "./character_classes.ts";

/** End of the piece of `text[0, end)` that begins at `begin < end`. */
export type Scanner = (text: string, begin: number, end: number) => number;

/** GPT-2, and ByteLevel with `use_regex`. */
export const GPT2_PATTERN: string =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const withDigits = (digits: string) =>
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits +
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Llama 3: numbers in groups of up to three digits. */
export const LLAMA3_PATTERN: string = withDigits("\\p{N}{1,3}");

/** Qwen 2: each digit alone. */
export const QWEN_PATTERN: string = withDigits("\\p{N}");

/** BLOOM: spaces and punctuation of several scripts separate. */
export const BLOOM_PATTERN: string = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+";

const SCANNERS = new Map<string, Scanner>([
  [GPT2_PATTERN, scanGpt2],
  [LLAMA3_PATTERN, (text, begin, end) => scanLlama3(text, begin, end, 3)],
  [QWEN_PATTERN, (text, begin, end) => scanLlama3(text, begin, end, 1)],
  [BLOOM_PATTERN, scanBloom],
]);

/** The scanner of exactly this pattern (matches and what lies between them are pieces). */
export function findScanner(pattern: string): Scanner | undefined {
  return SCANNERS.get(pattern);
}

const LF = 10, CR = 13, BLANK = 32, APOSTROPHE = 39;
const D = 100, E = 101, L = 108, M = 109, R = 114, S = 115, T = 116, V = 118;
const LONG_S = 0x17f; // lower-cases to itself, but equals s when case is ignored

function scanGpt2(text: string, begin: number, end: number): number {
  const unit = text.charCodeAt(begin);
  if (unit === APOSTROPHE) {
    const length = contraction(text, begin + 1, end, false);
    if (length > 0) return begin + 1 + length;
  }
  if (unit === BLANK && begin + 1 < end) {
    const kind = classAt(text, begin + 1);
    if (kind !== SPACE) return runEnd(text, begin + 1, end, kind);
  }
  const kind = classAt(text, begin);
  if (kind !== SPACE) return runEnd(text, begin, end, kind);
  return spacesEnd(runEnd(text, begin, end, SPACE), begin, end);
}

function scanLlama3(text: string, begin: number, end: number, maxDigits: number): number {
  const unit = text.charCodeAt(begin);
  if (unit === APOSTROPHE) {
    const length = contraction(text, begin + 1, end, true);
    if (length > 0) return begin + 1 + length;
  }
  const kind = classAt(text, begin);
  if (kind === LETTER) return runEnd(text, begin, end, LETTER);
  if (kind === NUMBER) {
    let e = begin;
    for (let n = 0; n < maxDigits && e < end && classAt(text, e) === NUMBER; n++) {
      e += widthAt(text, e);
    }
    return e;
  }
  const second = begin + widthAt(text, begin);
  const next = second < end ? classAt(text, second) : SPACE;
  if (next === LETTER && unit !== LF && unit !== CR) return runEnd(text, second, end, LETTER);
  if (kind === OTHER || (unit === BLANK && next === OTHER && second < end)) {
    let e = runEnd(text, kind === OTHER ? begin : second, end, OTHER);
    while (e < end && isNewline(text.charCodeAt(e))) e++;
    return e;
  }
  const e = runEnd(text, begin, end, SPACE);
  for (let i = e; i > begin; i--) if (isNewline(text.charCodeAt(i - 1))) return i;
  return spacesEnd(e, begin, end);
}

function scanBloom(text: string, begin: number, end: number): number {
  const separates = bloomSeparators();
  const isWord = (i: number) => i < end && separates[text.charCodeAt(i)] === 0;
  const isMatch = (i: number) => isWord(i) || (text.charCodeAt(i) === BLANK && isWord(i + 1));
  let i = begin;
  if (isMatch(i)) {
    i++;
    while (isWord(i)) i++;
  } else {
    i++;
    while (i < end && !isMatch(i)) i++;
  }
  return i;
}

let bloomTable: Uint8Array | undefined;

function bloomSeparators(): Uint8Array {
  if (bloomTable !== undefined) return bloomTable;
  bloomTable = classOfUnits().map((kind) => kind === SPACE ? 1 : 0);
  for (const c of "(|)[].,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c") {
    if (c !== "[" && c !== "]") bloomTable[c.charCodeAt(0)] = 1;
  }
  return bloomTable;
}

function isNewline(unit: number): boolean {
  return unit === LF || unit === CR;
}

/** End of the run of characters of one class from `i` on. */
function runEnd(text: string, i: number, end: number, kind: number): number {
  const classes = classOfUnits();
  while (i < end) {
    const unit = text.charCodeAt(i);
    if ((unit & 0xfc00) === 0xd800) {
      if (classAt(text, i) !== kind) break;
      i += widthAt(text, i);
    } else {
      if (classes[unit] !== kind) break;
      i++;
    }
  }
  return i;
}

/** `\s+(?!\S)|\s+`: the last space before a word belongs to the word. */
function spacesEnd(runEnd: number, begin: number, end: number): number {
  return runEnd < end && runEnd - begin > 1 ? runEnd - 1 : runEnd;
}

/** Units of s, t, m, d, re, ve or ll at `i`; 0 if there is none. */
function contraction(text: string, i: number, end: number, ignoreCase: boolean): number {
  if (i >= end) return 0;
  const fold = (unit: number) =>
    !ignoreCase ? unit : unit === LONG_S ? S : unit >= 65 && unit <= 90 ? unit + 32 : unit;
  const a = fold(text.charCodeAt(i));
  if (a === S || a === T || a === M || a === D) return 1;
  if (i + 1 >= end) return 0;
  const b = fold(text.charCodeAt(i + 1));
  return (b === E && (a === R || a === V)) || (a === L && b === L) ? 2 : 0;
}
