/** Access to the tokenizer fixtures. @module */
import { gunzipSync } from "node:zlib";
import { fromFileUrl, join } from "@std/path";
import { PieceList, type Splitter } from "../../src/tokenizer/splitter.ts";

/** Folder of all fixtures. */
export const FIXTURES: string = fromFileUrl(new URL("../fixtures/tokenizers", import.meta.url));

/** Folder of one tokenizer. */
export function folder(name: string): string {
  return join(FIXTURES, name);
}

/** The rows of a gzipped JSON Lines file. */
export function rows<T>(name: string, file: string): T[] {
  const text = new TextDecoder().decode(
    gunzipSync(Deno.readFileSync(join(FIXTURES, name, `${file}.jsonl.gz`))),
  );
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** A row of `cases`. */
export interface Case {
  /** What is encoded. */
  text: string;
  /** Without special tokens. */
  ids: number[];
  /** With special tokens. */
  ids_special: number[];
  /** What `ids` decode to. */
  decoded: string;
  /** The same without special tokens. */
  decoded_skip_special: string;
}

/** A folder with some files of another one, and others given. Dispose it. */
export function copyOf(
  name: string,
  files: string[],
  written: Record<string, string | Uint8Array> = {},
): { dir: string } & Disposable {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-tokenizer-" });
  for (const file of files) Deno.copyFileSync(join(FIXTURES, name, file), join(dir, file));
  for (const [file, content] of Object.entries(written)) {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    Deno.writeFileSync(join(dir, file), bytes);
  }
  return { dir, [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }) };
}

/** The UTF-16 units of a text. */
export function unitsOf(text: string): Uint16Array {
  return Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}

/** The pieces that a splitter cuts a text into. */
export function cut(splitter: Splitter, text: string): string[] {
  const pieces = new PieceList();
  splitter.split(unitsOf(text), 0, text.length, pieces);
  return Array.from(
    { length: pieces.count },
    (_, i) => text.slice(pieces.begins[i], pieces.ends[i]),
  );
}

/** A generator of pseudo-random integers in [0, n): mulberry32. */
export function random(seed: number): (n: number) => number {
  return (n) => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return Math.floor((t ^ t >>> 14) >>> 0) % n;
  };
}

const CHARACTERS = [
  ..."aBzé 'sStTdmMlLvrRe.,!?()|…。，、।۔،\n\r\t 0123456789 ",
  ..."中文日本ひらカナ\u0915\u094d\u0937\u0e01\u0301\u0308\u200d\ufeff\u0085\u00a0\u3000\u2028\u017f\u212a",
  "  ",
  "\r\n",
  "😀",
  "👩‍💻",
  "𝒳",
  "𐍈",
  "²",
  "Ⅷ",
  "\u2581",
  "'ll",
  "'RE",
  "'ve",
  "<s>",
  "</s>",
  "<unk>",
];

/** A random text of up to `length` parts: letters, digits, spaces and signs of several scripts. */
export function randomText(next: (n: number) => number, length: number): string {
  return Array.from({ length: next(length + 1) }, () => CHARACTERS[next(CHARACTERS.length)]).join(
    "",
  );
}
