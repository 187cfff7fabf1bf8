import { assertEquals, assertThrows } from "@std/assert";
import { IdBuffer } from "../../src/tokenizer/id_buffer.ts";
import { Trie } from "../../src/tokenizer/trie.ts";
import { Unigram, type UnigramParts } from "../../src/tokenizer/unigram.ts";
import { random } from "./fixtures.ts";

const ALPHABET = [..."abcd\u2581\u00e9\u4e2d\u{1f600}"];

/** Few scores, so that many ways are equal but for rounding. */
function randomModel(next: (n: number) => number): UnigramParts {
  const pieces = [{ piece: undefined as string | undefined, score: 0 }];
  const texts = new Set<string>();
  for (let i = 0; i < 40; i++) {
    const length = 1 + next(4);
    texts.add(Array.from({ length }, () => ALPHABET[next(ALPHABET.length)]!).join(""));
  }
  const scores = [-1.1, -2.2, -3.3, -4.4, -2.7182817, -0.1];
  for (const piece of texts) pieces.push({ piece, score: scores[next(scores.length)]! });
  return { pieces, unkId: 0, idOfByte: undefined, singlePrecision: next(4) > 0 };
}

/** Viterbi's search over the whole text, as the libraries do it. */
function search({ pieces, singlePrecision }: UnigramParts, text: string): number[] {
  const round = singlePrecision ? Math.fround : (x: number) => x;
  const lowest = Math.min(...pieces.slice(1).map(({ score }) => score));
  const unknown = round(round(lowest) - 10);
  const best = Array(text.length + 1).fill(-Infinity), ways: { from: number; id: number }[] = [];
  best[0] = 0;
  for (let from = 0; from < text.length;) {
    const width = String.fromCodePoint(text.codePointAt(from)!).length;
    let covered = false;
    const offer = (to: number, id: number, score: number) => {
      const sum = round(best[from] + score);
      if (sum <= best[to]) return;
      best[to] = sum;
      ways[to] = { from, id };
    };
    for (let to = from + 1; to <= Math.min(text.length, from + 8); to++) {
      const id = pieces.findLastIndex(({ piece }) => piece === text.slice(from, to));
      if (id < 0) continue;
      offer(to, id, round(pieces[id]!.score));
      covered ||= to === from + width;
    }
    if (!covered) offer(from + width, 0, unknown);
    from += width;
  }
  const ids: number[] = [];
  for (let at = text.length; at > 0; at = ways[at]!.from) ids.unshift(ways[at]!.id);
  return ids.filter((id, i) => id !== 0 || ids[i - 1] !== 0); // one unknown token for a run
}

Deno.test("Unigram finds in chunks what the search over the whole text finds, roundings included", () => {
  const next = random(7), out = new IdBuffer();
  for (let m = 0; m < 60; m++) {
    const model = randomModel(next), unigram = new Unigram(model);
    for (const length of [1, 5, 30, 300, 2000]) {
      const text = Array.from({ length }, () => ALPHABET[next(ALPHABET.length)]!).join("");
      const units = Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
      for (let time = 0; time < 2; time++) { // the second one knows the chunks
        unigram.encode(units, 0, units.length, out);
        assertEquals([...out.take()], search(model, text), `${m}: ${JSON.stringify(text)}`);
      }
    }
  }
});

Deno.test("Unigram refuses scores that cannot be added up", () => {
  for (const score of [NaN, -Infinity, 1e300]) {
    const pieces = [{ piece: undefined, score }, { piece: "a", score: -1 }, { piece: "b", score }];
    assertThrows(
      () => new Unigram({ pieces, unkId: 0, idOfByte: undefined }),
      RangeError,
      `the piece "b" must have a score from -1e+30 to 1e+30: it has ${score}`,
    );
  }
});

Deno.test("Trie finds its texts and no others", () => {
  const next = random(3);
  for (const [units, count] of [[3, 30], [300, 2000], [40_000, 5000]] as const) {
    const texts = Array.from({ length: count }, () => {
      const length = next(6);
      return Array.from({ length }, () => String.fromCharCode(33 + next(units))).join("");
    });
    const trie = new Trie([undefined, ...texts]);
    const find = (text: string) => {
      let node = 0;
      for (let i = 0; i < text.length && node >= 0; i++) {
        node = trie.child(node, text.charCodeAt(i));
      }
      return node < 0 ? -1 : trie.id(node);
    };
    for (const text of texts) {
      if (text !== "") assertEquals(find(text), texts.lastIndexOf(text) + 1);
      const other = text + String.fromCharCode(33 + next(units));
      assertEquals(find(other), texts.includes(other) ? texts.lastIndexOf(other) + 1 : -1);
    }
  }
});
