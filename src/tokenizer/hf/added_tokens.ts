/** Added tokens of tokenizer.json: found in the text before anything else is done to it. @module */
import { Trie } from "../trie.ts";
import { isPair, textOfUnits } from "../units.ts";

/** A token next to those of the model. */
export interface AddedToken {
  /** Its id. */
  id: number;
  /** Its text. */
  content: string;
  /** Found only between characters that are not part of a word. */
  singleWord: boolean;
  /** Takes the white space on its left with it. */
  lstrip: boolean;
  /** Takes the white space on its right with it. */
  rstrip: boolean;
  /** Searched in the normalized text. */
  normalized: boolean;
  /** Left out when decoding without special tokens. */
  special: boolean;
}

/** Receives the parts of a text in order; `id` is -1 for what is not a token. */
export type PartSink = (begin: number, end: number, id: number) => void;

const FEW = 4; // characters that are searched one by one

/**
 * Finds tokens in texts: the leftmost first, of several there the longest. They are searched from every
 * unit that begins a token.
 */
export class TokenFinder {
  readonly #begins = new Uint8Array(1 << 16); // 1 for the first units of tokens
  readonly #firsts: readonly string[]; // the same as characters
  readonly #trie: Trie; // from texts to places among the tokens
  readonly #tokens: readonly AddedToken[];
  #found: AddedToken | undefined;
  #foundEnd = 0;

  /** Makes a finder of at least one token, each by the text that is searched. */
  constructor(tokens: ReadonlyMap<string, AddedToken>) {
    this.#trie = new Trie([...tokens.keys()]);
    this.#tokens = [...tokens.values()];
    for (const text of tokens.keys()) this.#begins[text.charCodeAt(0)] = 1;
    this.#firsts = [...new Set([...tokens.keys()].map((text) => text[0]!))];
  }

  /** false if no token can be in a text, which is seen much faster than by {@linkcode split}. */
  mayBeIn(text: string): boolean {
    return this.#firsts.length > FEW || this.#firsts.some((first) => text.includes(first));
  }

  /** Cuts `units[begin, end)` into tokens and the rest. Parts are never empty. */
  split(units: Uint16Array, begin: number, end: number, sink: PartSink): void {
    const begins = this.#begins;
    let done = begin;
    for (let i = begin;; i++) {
      while (i < end && begins[units[i]!] === 0) i++;
      if (i >= end) break;
      if (!this.#find(units, i, end)) continue;
      const token = this.#found!;
      let from = i, to = this.#foundEnd;
      i = to - 1;
      if (token.singleWord && isInWord(units, from, to, begin, end)) continue;
      if (token.lstrip) {
        while (from > begin && isSpace(units[from - 1]!)) from--;
        from = Math.max(done, from);
      }
      if (token.rstrip) { while (to < end && isSpace(units[to]!)) to++; }
      if (done < from) sink(done, from, -1);
      if (from < to) sink(from, to, token.id); // else the token before has eaten this space
      done = to;
    }
    if (done < end) sink(done, end, -1);
  }

  /** Finds the longest token at `begin`. */
  #find(units: Uint16Array, begin: number, end: number): boolean {
    const trie = this.#trie;
    this.#found = undefined;
    for (let node = 0, i = begin; i < end;) {
      node = trie.child(node, units[i++]!);
      if (node < 0) break;
      const place = trie.id(node);
      if (place < 0) continue;
      this.#found = this.#tokens[place];
      this.#foundEnd = i;
    }
    return this.#found !== undefined;
  }
}

const WORD = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";
const IS_WORD = new RegExp(`^${WORD}`, "u");
const SPACE = /\p{White_Space}/u;

/** Whether the character before `from` or the one at `to` is part of a word. */
function isInWord(units: Uint16Array, from: number, to: number, begin: number, end: number) {
  const before = from - 1 > begin && isPair(units, from - 2, from) ? from - 2 : from - 1;
  return (from > begin && IS_WORD.test(textOfUnits(units, before, from))) ||
    IS_WORD.test(textOfUnits(units, to, Math.min(end, to + 2)));
}

function isSpace(unit: number): boolean {
  return SPACE.test(String.fromCharCode(unit));
}
