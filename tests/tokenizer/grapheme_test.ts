import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { Charsmap } from "../../src/tokenizer/charsmap.ts";
import { GraphemeNormalizer } from "../../src/tokenizer/hf/grapheme_normalizer.ts";
import { FIXTURES, random, randomText } from "./fixtures.ts";

const ODD = [
  ..."aA\u00e9\u0301\u0308\u200d\u0600\u06dd\u1100\u1160\u11a8\uac00\uac01\u0915\u094d\u0937\u0e33",
  ..."\u{1f1e6}\u{1f1e7}\u{1f468}\u{1f3fb}\ufb01\u2460\uff76\uff9e\u00bd\u212b\u0000\u0085\n\r",
  "\r\n",
  "\ud800",
  "\udc00",
];

Deno.test("GraphemeNormalizer does with parts of a text what goes for the graphemes of the whole text", () => {
  const { normalizer } = JSON.parse(
    Deno.readTextFileSync(join(FIXTURES, "unigram_nmt_nfkc", "tokenizer.json")),
  );
  const charsmap = Charsmap.fromBase64(normalizer.normalizers[0].precompiled_charsmap);
  const segmenter = new Intl.Segmenter("und", { granularity: "grapheme" });
  const encode = (text: string) => new TextEncoder().encode(text);
  const replace = (grapheme: string) => {
    const bytes = encode(grapheme), whole = bytes.length < 6 ? charsmap.shortest(bytes) : undefined;
    return whole ?? [...grapheme].map((c) => charsmap.shortest(encode(c)) ?? c).join("");
  };
  const fast = new GraphemeNormalizer(charsmap), next = random(5);
  for (let i = 0; i < 20_000; i++) {
    const odd = Array.from({ length: next(8) }, () => ODD[next(ODD.length)]!).join("");
    const text = next(2) ? odd : randomText(next, 6) + odd + randomText(next, 6);
    const whole = Array.from(segmenter.segment(text), ({ segment }) => replace(segment)).join("");
    assertEquals(fast.normalize(text), whole, JSON.stringify(text));
  }
});
