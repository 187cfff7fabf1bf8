import { assertEquals } from "@std/assert";
import { Component } from "../../src/tokenizer/hf/component.ts";
import { makeDecoder } from "../../src/tokenizer/hf/decoders.ts";
import { makeNormalizer } from "../../src/tokenizer/hf/normalizers.ts";
import { makeTemplate } from "../../src/tokenizer/hf/post_processors.ts";
import { makePreTokenizer } from "../../src/tokenizer/hf/pre_tokenizers.ts";
import { TextCollector } from "../../src/tokenizer/text_sink.ts";

const normalize = (json: unknown, text: string) => makeNormalizer(new Component(json, "n"))(text);
const pieces = (json: unknown, text: string, first = true) =>
  makePreTokenizer(new Component(json, "p")).preTokenizer!
    .pieces({ text, lead: first ? 1 : 0 }).map((piece) => piece.text);

function decode(json: unknown, tokens: string[]): string {
  const collector = new TextCollector();
  const sink = makeDecoder(json === null ? undefined : new Component(json, "d"))(collector);
  for (const token of tokens) {
    sink.text(token);
    sink.endToken();
  }
  sink.end();
  return collector.take();
}

Deno.test("normalizers do what the tokenizers library does", () => {
  assertEquals(normalize({ type: "NFC" }, "e\u0301"), "\u00e9");
  assertEquals(normalize({ type: "NFKD" }, "\ufb01"), "fi");
  assertEquals(normalize({ type: "Lowercase" }, "\u0391\u03a3 X"), "\u03b1\u03c3 x");
  const newest = "\ua7ce\ua7d2\ua7d4\u{16ea0}\u{16eb8}"; // of Unicode 17
  assertEquals(
    normalize({ type: "Lowercase" }, newest),
    "\ua7cf\ua7d3\ua7d5\u{16ebb}\u{16ed3}",
  );
  assertEquals(normalize({ type: "Strip", strip_left: true, strip_right: false }, " a "), "a ");
  assertEquals(normalize({ type: "StripAccents" }, "e\u0301"), "e");
  assertEquals(normalize({ type: "Prepend", prepend: "_" }, ""), "");
  const replace = { type: "Replace", pattern: { Regex: " {2,}" }, content: "$&" };
  assertEquals(normalize(replace, "a   b"), "a$&b");
  const all = [{ type: "Prepend", prepend: "." }, { type: "NFC" }];
  assertEquals(normalize({ type: "Sequence", normalizers: all }, "x"), ".x");
});

Deno.test("pre-tokenizers do what the tokenizers library does", () => {
  assertEquals(pieces({ type: "Digits", individual_digits: true }, "a12 b"), ["a", "1", "2", " b"]);
  assertEquals(pieces({ type: "Digits", individual_digits: false }, "a12 b"), ["a", "12", " b"]);
  assertEquals(pieces({ type: "Punctuation", behavior: "Isolated" }, "a!?b"), ["a", "!", "?", "b"]);
  assertEquals(pieces({ type: "WhitespaceSplit" }, " a  b"), ["a", "b"]);
  assertEquals(pieces({ type: "Whitespace" }, "a,b c_1 !?"), ["a", ",", "b", "c_1", "!?"]);
  const byteLevel = { type: "ByteLevel", add_prefix_space: true, use_regex: true };
  assertEquals(pieces(byteLevel, "a b"), [" a", " b"]);
  const meta = { type: "Metaspace", replacement: "\u2581", prepend_scheme: "first", split: true };
  assertEquals(pieces(meta, "a b"), ["\u2581a", "\u2581b"]);
  assertEquals(pieces(meta, "a b", false), ["a", "\u2581b"]);
  const digits = { type: "Digits", individual_digits: true };
  const words = { type: "Sequence", pretokenizers: [{ type: "Whitespace" }, meta] };
  assertEquals(pieces(words, "a b"), ["\u2581a", "b"]);
  assertEquals(pieces(words, " a b"), ["a", "b"]); // what stood at the start was removed
  const sequence = { type: "Sequence", pretokenizers: [{ type: "WhitespaceSplit" }, digits] };
  assertEquals(pieces(sequence, "a1 2b"), ["a", "1", "2", "b"]);
});

Deno.test("templates nest as post-processors do", () => {
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const template = (name: string, id: number) => ({
    type: "TemplateProcessing",
    single: [special(name), { Sequence: { id: "A", type_id: 0 } }, special(name)],
    special_tokens: { [name]: { id: name, ids: [id], tokens: [name] } },
  });
  const json = { type: "Sequence", processors: [template("a", 1), template("b", 2)] };
  assertEquals(makeTemplate(new Component(json, "t")), { before: [2, 1], after: [1, 2] });
  const roberta = { type: "RobertaProcessing", sep: ["</s>", 2], cls: ["<s>", 0] };
  assertEquals(makeTemplate(new Component(roberta, "t")), { before: [0], after: [2] });
});

Deno.test("decoders do what the tokenizers library does", () => {
  assertEquals(decode(null, ["a", "b"]), "a b");
  assertEquals(decode({ type: "Fuse" }, ["a", "b"]), "ab");
  const strip = { type: "Strip", content: "_", start: 1, stop: 2 };
  assertEquals(decode(strip, ["__a___", "_"]), "_a_");
  assertEquals(decode({ type: "ByteFallback" }, ["<0xE4>", "<0xBD>", "<0xA0>", "x"]), "\u4f60x");
  assertEquals(decode({ type: "ByteFallback" }, ["<0x41>", "<0xE4>", "x"]), "\ufffd\ufffdx");
  const meta = { type: "Metaspace", replacement: "\u2581", prepend_scheme: "always" };
  assertEquals(decode(meta, ["\u2581a", "\u2581b"]), "a b");
  assertEquals(decode({ type: "ByteLevel" }, ["\u0120a", "\u4e2d"]), " a\u4e2d");
  const twice = { type: "Sequence", decoders: [{ type: "ByteLevel" }, { type: "ByteLevel" }] };
  // the second one sees one token: in the byte alphabet as a whole, or not
  assertEquals(decode(twice, ["\u0120a", "\u00c2\u00b5"]), " a\u00b5");
  assertEquals(decode(twice, ["\u00c3\u0125", "\u00c2\u00ae"]), "\u00ee");
});
