import { assert, assertEquals } from "@std/assert";
import { CHARACTER_OF_BYTE } from "../../src/tokenizer/byte_alphabet.ts";
import { ByteBpe } from "../../src/tokenizer/byte_bpe.ts";
import { CertainMerges } from "../../src/tokenizer/certain_merges.ts";
import { CharBpe } from "../../src/tokenizer/char_bpe.ts";
import { CutTable } from "../../src/tokenizer/cut_table.ts";
import { IdBuffer } from "../../src/tokenizer/id_buffer.ts";
import { MergeTable } from "../../src/tokenizer/merge_table.ts";
import { Merger } from "../../src/tokenizer/merger.ts";
import { hashSpan, WordCache } from "../../src/tokenizer/word_cache.ts";
import { random, unitsOf } from "./fixtures.ts";

const CHARACTERS = [..."abcdefg \u2581\u4e2d\u6587", "\u{1f600}", "\u{1f601}"];

/** A random vocabulary whose tokens are made by merges, and the same merges by their texts. */
function randomMerges(next: (n: number) => number, count: number) {
  const tokens = [...CHARACTERS], idOf = new Map(tokens.map((t, id) => [t, id]));
  const merges = new MergeTable(count), cuts = new CutTable();
  const ranks = new Map<string, { rank: number; id: number }>();
  for (let rank = 0; rank < count; rank++) {
    const left = next(tokens.length), right = next(tokens.length);
    if (ranks.has(`${left} ${right}`)) continue;
    const text = tokens[left]! + tokens[right]!;
    const id = idOf.get(text) ?? tokens.push(text) - 1;
    idOf.set(text, id);
    merges.add(left, right, rank, id);
    ranks.set(`${left} ${right}`, { rank, id });
    const l = tokens[left]!;
    cuts.join(l.charCodeAt(l.length - 1), tokens[right]!.charCodeAt(0));
  }
  return { merges, cuts, ranks, idOfCharacter: new Map(CHARACTERS.map((c, i) => [c, i])) };
}

/** The definition: of all neighbours the pair of lowest rank, the leftmost of these. */
function mergeByDefinition(ids: number[], ranks: Map<string, { rank: number; id: number }>) {
  for (;;) {
    let best = Infinity, at = -1;
    for (let i = 0; i + 1 < ids.length; i++) {
      const rank = ranks.get(`${ids[i]} ${ids[i + 1]}`)?.rank ?? Infinity;
      if (rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return ids;
    ids.splice(at, 2, ranks.get(`${ids[at]} ${ids[at + 1]}`)!.id);
  }
}

Deno.test("CharBpe cuts, caches and merges as the definition of BPE does on the whole text", () => {
  const next = random(3), out = new IdBuffer();
  for (let round = 0; round < 60; round++) {
    const { merges, cuts, ranks, idOfCharacter } = randomMerges(next, 4 + next(40));
    const bpe = new CharBpe({
      merges,
      cuts,
      idOfCharacter,
      idOfByte: undefined,
      unkId: 999,
      fuseUnk: true,
      wholeTokens: undefined,
      standIns: [],
      firstStandIn: 1 << 30,
    });
    for (let k = 0; k < 20; k++) {
      const characters = Array.from(
        { length: next(k < 18 ? 20 : 400) },
        () => CHARACTERS[next(CHARACTERS.length)]!,
      );
      const text = characters.join("");
      bpe.encode(unitsOf(text), 0, text.length, out);
      const ids = characters.map((c) => idOfCharacter.get(c)!);
      assertEquals([...out.take()], mergeByDefinition(ids, ranks), text);
    }
  }
});

/** A byte-level model with these merges, in this order. */
function byteModel(list: readonly (readonly [string, string])[]) {
  const tokens = [...CHARACTER_OF_BYTE], idOf = new Map(tokens.map((t, id) => [t, id]));
  for (const token of list.map(([left, right]) => left + right)) {
    if (!idOf.has(token)) idOf.set(token, tokens.push(token) - 1);
  }
  const merges = new MergeTable(list.length), certain = new CertainMerges();
  const ranks = new Map<string, { rank: number; id: number }>();
  list.forEach(([left, right], rank) => {
    const [a, b, id] = [left, right, left + right].map((token) => idOf.get(token)!);
    const span = (text: string) => ({ text, begin: 0, end: text.length });
    merges.add(a!, b!, rank, id!);
    certain.add(span(left), span(right), rank, id!);
    ranks.set(`${a} ${b}`, { rank, id: id! });
  });
  const idOfByte = Int32Array.from(CHARACTER_OF_BYTE, (c) => idOf.get(c)!);
  const parts = { unkId: undefined, fuseUnk: false, wholeTokens: undefined };
  return { bpe: new ByteBpe({ merges, certain, idOfByte, ...parts }), certain, ranks, idOfByte };
}

/**
 * Random merges of some letters and what is made of them. Their order is random too: a merge may come
 * before the one that makes its part. Several may make one token, and some are listed twice.
 */
function randomList(next: (n: number) => number, letters: string, count: number) {
  const made = [...letters];
  const list = Array.from({ length: count }, () => {
    const left = made[next(made.length)]!, right = made[next(made.length)]!;
    if (!made.includes(left + right)) made.push(left + right);
    return [left, right] as const;
  });
  if (next(2) === 0) return list;
  return list.map((merge) => ({ merge, key: next(1000) })).sort((a, b) => a.key - b.key)
    .map(({ merge }) => merge);
}

/** All texts of up to `length` letters. */
function* allTexts(letters: string, length: number): Generator<string> {
  yield "";
  if (length === 0) return;
  for (const text of allTexts(letters, length - 1)) for (const c of letters) yield c + text;
}

Deno.test("ByteBpe begins with merges that are certain, and goes on as the definition of BPE", () => {
  const next = random(7), out = new IdBuffer();
  let saved = 0;
  for (let round = 0; round < 80; round++) {
    const letters = ["ab", "abc", "abcd"][next(3)]!;
    const { bpe, certain, ranks, idOfByte } = byteModel(randomList(next, letters, 1 + next(24)));
    const longer = Array.from(
      { length: 20 },
      () => Array.from({ length: next(200) }, () => letters[next(letters.length)]!).join(""),
    );
    for (const text of [...allTexts(letters, letters.length === 2 ? 7 : 4), ...longer]) {
      const bytes = new TextEncoder().encode(text + "??"), symbols = new Int32Array(text.length);
      saved += text.length - certain.write(bytes, text.length, idOfByte, symbols);
      bpe.encode(unitsOf(text), 0, text.length, out);
      const ids = Array.from(bytes.subarray(0, text.length), (byte) => idOfByte[byte]!);
      assertEquals([...out.take()], mergeByDefinition(ids, ranks), `${text} ${[...ranks]}`);
    }
  }
  assert(saved > 30_000, `${saved}`); // or most of the texts have nothing that is certain
});

Deno.test("ByteBpe does not begin with a token whose merges come before it is made", () => {
  const out = new IdBuffer();
  for (const token of ["ab", "abc"]) {
    const list = [[token, "x"], ["x", "y"], ["a", "b"], ["ab", "c"]] as const;
    const { bpe, ranks, idOfByte } = byteModel(list), text = token + "xy";
    bpe.encode(unitsOf(text), 0, text.length, out);
    const ids = Array.from(new TextEncoder().encode(text), (byte) => idOfByte[byte]!);
    const merged = mergeByDefinition(ids, ranks);
    assertEquals(merged.length, 2); // the token and "xy"
    assertEquals([...out.take()], merged);
  }
});

Deno.test("CertainMerges knows all tokens of three bytes that nothing else can take apart", () => {
  const pairs = [..."abcdefghij"].flatMap((a) => [..."klmnopqrst"].map((b) => [a, b] as const));
  const triples = pairs.flatMap(([a, b]) => [..."uvwxyz"].map((c) => [a + b, c] as const));
  const { certain, idOfByte } = byteModel([...pairs, ...triples]), symbols = new Int32Array(6);
  for (const [pair, c] of triples) {
    const bytes = new TextEncoder().encode(pair + c + pair + c + "??");
    assertEquals(certain.write(bytes, 6, idOfByte, symbols), 2, pair + c);
  }
});

Deno.test("Merger gives the same for short and long words", () => {
  const next = random(4);
  for (let round = 0; round < 40; round++) {
    const { merges, ranks } = randomMerges(next, 30);
    const ids = Array.from({ length: 1 + next(200) }, () => next(CHARACTERS.length));
    const merger = new Merger(merges);
    merger.reserve(ids.length);
    merger.symbols.set(ids);
    const n = merger.merge(ids.length);
    assertEquals([...merger.symbols.subarray(0, n)], mergeByDefinition([...ids], ranks));
  }
});

Deno.test("CharBpe makes a run of unknown characters one unknown token, across cuts", () => {
  const bpe = new CharBpe({
    merges: new MergeTable(0),
    cuts: new CutTable(),
    idOfCharacter: new Map([["a", 1]]),
    idOfByte: undefined,
    unkId: 0,
    fuseUnk: true,
    wholeTokens: undefined,
    standIns: [],
    firstStandIn: 1 << 30,
  });
  const out = new IdBuffer(), text = "a??\u{1f600}?a?";
  bpe.encode(unitsOf(text), 0, text.length, out);
  assertEquals([...out.take()], [1, 0, 1, 0]);
});

Deno.test("MergeTable keeps ids beyond 16 bits apart", () => {
  const table = new MergeTable(2);
  table.add(200_000, 3, 7, 250_000);
  table.add(3, 200_000, 8, 250_001);
  assertEquals(table.merged(table.find(200_000, 3)), 250_000);
  assertEquals(table.rank(table.find(3, 200_000)), 8);
  assertEquals(table.find(200_000 & 0xffff, 3), -1);
});

Deno.test("WordCache gives back what it was given, also after it was full", () => {
  const cache = new WordCache(), out = new IdBuffer(), ids = new Int32Array(100);
  const give = (text: string, value: number) => {
    const units = unitsOf(text);
    ids.fill(value, 0, text.length % 100);
    cache.add(units, 0, text.length, hashSpan(units, 0, text.length), ids, 0, text.length % 100);
  };
  const take = (text: string) => {
    const units = unitsOf(text), hash = hashSpan(units, 0, text.length);
    const found = cache.append(units, 0, text.length, hash, out);
    return found ? [...out.take()] : undefined;
  };
  for (let i = 0; i < 300_000; i++) give(`word${i}`, i);
  assertEquals(take("word299999"), Array(10).fill(299_999));
  assertEquals(take("word0"), undefined); // it was emptied once
  assertEquals(take("word29999"), take("never") ?? undefined);
  give("odd", 5);
  give("even", 6);
  give("x".repeat(256), 7);
  assertEquals([take("odd"), take("even"), take("od"), take("x".repeat(256))], [
    [5, 5, 5],
    [6, 6, 6, 6],
    undefined,
    undefined,
  ]);
});
