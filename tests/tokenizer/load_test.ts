import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { ConfigError } from "../../src/config/config_error.ts";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { copyOf, folder } from "./fixtures.ts";

const BLOOM = JSON.parse(Deno.readTextFileSync(join(folder("bloom"), "tokenizer.json")));

/** Loads bloom's tokenizer.json with some parts replaced. */
function load(change: Record<string, unknown>, config: unknown = {}) {
  using copy = copyOf("bloom", [], {
    "tokenizer.json": JSON.stringify({ ...BLOOM, ...change }),
    "tokenizer_config.json": JSON.stringify(config),
  });
  return loadTokenizer(copy.dir);
}

function errorOf(file: string, content: string | Uint8Array): string {
  using copy = copyOf("bloom", [], { [file]: content });
  const error = assertThrows(() => loadTokenizer(copy.dir), ConfigError);
  assertStringIncludes(error.message, join(copy.dir, file));
  return error.message;
}

Deno.test("loadTokenizer() names the file and the component that it cannot use", () => {
  const faults: [Record<string, unknown>, string][] = [
    [{ normalizer: { type: "BertNormalizer" } }, 'normalizer is of type "BertNormalizer"'],
    [{ normalizer: { type: "Sequence", normalizers: [{ type: "X" }] } }, "normalizers[0] is of"],
    [{ pre_tokenizer: { type: "UnicodeScripts" } }, 'pre_tokenizer is of type "UnicodeScripts"'],
    [{ decoder: { type: "CTC" } }, 'decoder is of type "CTC"'],
    [{ decoder: {} }, "decoder.type must be of type string: current value is missing"],
    [{ post_processor: { type: "Z" } }, 'post_processor is of type "Z", which is not supported'],
    [{ model: { ...BLOOM.model, type: "WordPiece" } }, 'model is of type "WordPiece"'],
    [{ model: { ...BLOOM.model, dropout: 0.1 } }, "model.dropout = 0.1 is not supported"],
    [{ model: { ...BLOOM.model, end_of_word_suffix: "</w>" } }, "end_of_word_suffix"],
    [{ model: { ...BLOOM.model, merges: ["a b c"] } }, "model.merges[0] must be two tokens"],
    [{ model: { ...BLOOM.model, merges: ["a qqqqq"] } }, "not in the vocabulary"],
    [{ model: { ...BLOOM.model, vocab: ["a"] } }, "model.vocab must be an object"],
    [{ model: { ...BLOOM.model, vocab: { a: "1" } } }, "model.vocab must hold ids"],
    [{ added_tokens: [{ id: "x", content: "<s>" }] }, "added_tokens[0].id must be of type number"],
  ];
  for (const [change, message] of faults) {
    const text = errorOf("tokenizer.json", JSON.stringify({ ...BLOOM, ...change }));
    assertStringIncludes(text, message);
  }
});

Deno.test("loadTokenizer() says where a broken file breaks", () => {
  const text = Deno.readTextFileSync(join(folder("bloom"), "tokenizer.json"));
  assertStringIncludes(errorOf("tokenizer.json", text.slice(0, 60_000)), "the end of the text");
  assertStringIncludes(errorOf("tokenizer.json", text.slice(0, 100)), "the end of the text");
  assertStringIncludes(errorOf("tokenizer.json", "not json"), "expected a JSON value");
  const model = Deno.readFileSync(join(folder("llama"), "tokenizer.model"));
  for (const size of [100, 5_000, model.length - 3]) {
    assertStringIncludes(errorOf("tokenizer.model", model.slice(0, size)), "truncated");
  }
  assertStringIncludes(errorOf("tokenizer.model", new Uint8Array(0)), "no pieces");
  assertStringIncludes(
    errorOf("tokenizer.model", "version https://x"),
    "not a SentencePiece model",
  );
});

Deno.test("loadTokenizer() never crashes on a model with bytes changed", () => {
  const model = Deno.readFileSync(join(folder("unigram_nmt_nfkc"), "tokenizer.model"));
  for (let at = 1; at < 400; at += 3) {
    const changed = model.slice(0, 60_000);
    changed[at * 97 % changed.length]! ^= 1 << at % 8;
    using copy = copyOf("llama", [], { "tokenizer.model": changed });
    try {
      loadTokenizer(copy.dir).encode("Hello world");
    } catch (error) {
      assertEquals(error instanceof ConfigError, true, String(error));
    }
  }
});

Deno.test("loadTokenizer() says what a directory must hold", () => {
  using copy = copyOf("bloom", []);
  assertThrows(
    () => loadTokenizer(copy.dir),
    ConfigError,
    "must hold tokenizer.json or tokenizer.model",
  );
  using other = copyOf("llama", ["tokenizer.model"], {
    "tokenizer_config.json": '{"tokenizer_class": "XGLMTokenizer"}',
  });
  assertThrows(() => loadTokenizer(other.dir), ConfigError, '"XGLMTokenizer"');
  using broken = copyOf("bloom", ["tokenizer.json"], { "tokenizer_config.json": "{" });
  assertThrows(() => loadTokenizer(broken.dir), ConfigError, "tokenizer_config.json");
});

Deno.test("keys with escapes keep their ids whatever was parsed before", () => {
  // V8 may read the key "\"" as "\\" once it has seen an object with a key "\\" in its place
  JSON.parse('{"!":[],"\\\\":0}');
  const vocab = { "!": 0, '"': 1, "\\": 2, "\n": 3, "__proto__": 4, "1": 5 };
  const model = { type: "BPE", vocab, merges: [] };
  const tokenizer = load({ model, added_tokens: [], pre_tokenizer: null, decoder: null });
  assertEquals([...tokenizer.encode('\\"1!\n')], [2, 1, 5, 0, 3]);
});

Deno.test("merges are read as words and as pairs, whatever characters they are made of", () => {
  const vocab = { "a": 0, '"': 1, "\\": 2, "]": 3, '"]': 4, '\\"]': 5, " ": 6, "a ": 7 };
  const parts = { added_tokens: [], pre_tokenizer: null, decoder: null };
  const words = { type: "BPE", vocab, merges: ['" ]', '\\ "]'] };
  const pairs = { type: "BPE", merges: [['"', "]"], ["\\", '"]'], ["a", " "]], vocab };
  assertEquals([...load({ model: words, ...parts }).encode('a \\"]"]')], [0, 6, 5, 4]);
  assertEquals([...load({ model: pairs, ...parts }).encode('a \\"]"]')], [7, 5, 4]);
  using pretty = copyOf("bloom", [], {
    "tokenizer.json": JSON.stringify({ ...BLOOM, ...parts, model: pairs }, null, 2),
  });
  assertEquals([...loadTokenizer(pretty.dir).encode('a \\"]"]')], [7, 5, 4]);
  for (
    const merge of ["a", "", " a", "a ", "a  a", 5, ["a"], ["a", 1], ["", "a"], ["a", "]", 3], {}]
  ) {
    const model = { ...words, merges: ['" ]', merge] };
    const text = errorOf("tokenizer.json", JSON.stringify({ ...BLOOM, model }));
    assertStringIncludes(text, "model.merges[1] must be two tokens");
  }
  const broken = JSON.stringify({ ...BLOOM, model: words }).replace('" ]",', '" ]"');
  assertStringIncludes(errorOf("tokenizer.json", broken), "expected");
  const model = { ...words, merges: undefined };
  const text = errorOf("tokenizer.json", JSON.stringify({ ...BLOOM, model }));
  assertStringIncludes(text, "model.merges must be a list of merges");
});

Deno.test("special tokens that only the configuration names become tokens, as in transformers", () => {
  const config = {
    pad_token: "[PAD]",
    eos_token: { content: "</s>" },
    additional_special_tokens: ["<|x|>"],
  };
  const { additional_special_tokens: [image] } = config;
  const newer = {
    ...config,
    additional_special_tokens: undefined,
    extra_special_tokens: { image },
  };
  assertEquals([...load({}, newer).encode("<|x|>")], [3001]);
  const tokenizer = load({}, config);
  assertEquals(tokenizer.vocabSize, 3002);
  assertEquals(tokenizer.padId, 3000);
  assertEquals([...tokenizer.encode("a[PAD]<|x|></s>")], [68, 3000, 3001, 2]);
  assertEquals(tokenizer.decode([68, 3000, 3001, 2], { skipSpecial: true }), "a");
});

Deno.test("what added_tokens_decoder says of a token counts more than tokenizer.json", () => {
  const listed = { content: "</s>", lstrip: true, rstrip: true, normalized: false, special: true };
  const tokenizer = load({}, { added_tokens_decoder: { 2: listed } });
  assertEquals([...tokenizer.encode("a </s> a")], [68, 2, 68]);
  assertEquals(tokenizer.vocabSize, 3000);
});

Deno.test("added tokens take white space and word borders as they say", () => {
  const token = { special: false, normalized: false, single_word: false };
  const added_tokens = [
    { ...token, id: 3000, content: "<l>", lstrip: true, rstrip: false },
    { ...token, id: 3001, content: "<r>", lstrip: false, rstrip: true },
    { ...token, id: 3002, content: "word", single_word: true, lstrip: false, rstrip: false },
    { ...token, id: 3003, content: "<r>x", lstrip: false, rstrip: false },
  ];
  const tokenizer = load({ added_tokens });
  const a = 68;
  assertEquals([...tokenizer.encode("a \n<l>a<r>  a")], [a, 3000, a, 3001, a]);
  assertEquals([...tokenizer.encode("<r>xa")], [3003, a]);
  assertEquals([...tokenizer.encode("word")], [3002]);
  assertEquals([...tokenizer.encode("(word)")].includes(3002), true);
  assertEquals([...tokenizer.encode("words sword")].includes(3002), false);
});

Deno.test("special tokens that no file names are those of the class or of the model type", () => {
  const names = (
    { bosId, eosId, padId, unkId }: ReturnType<typeof load>,
  ) => [bosId, eosId, padId, unkId];
  const named = [1, 2, 3, 0]; // as bloom's vocabulary begins: <unk> <s> </s> <pad>
  assertEquals(names(load({}, {})), [undefined, undefined, undefined, undefined]);
  assertEquals(names(load({}, { tokenizer_class: "BloomTokenizerFast" })), named);
  const own = { tokenizer_class: "BloomTokenizer", eos_token: "<pad>", pad_token: null };
  assertEquals(names(load({}, own)), [1, 3, undefined, 0]);
  assertEquals(names(load({}, { tokenizer_class: "GPT2Tokenizer" })), names(load({}, {})));
  using copy = copyOf("bloom", ["tokenizer.json"], { "config.json": '{"model_type": "bloom"}' });
  assertEquals(names(loadTokenizer(copy.dir)), named);
});

Deno.test("add_prefix_space and split_special_tokens of the configuration are honoured", () => {
  const pre_tokenizer = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
  const plain = load({ pre_tokenizer }),
    spaced = load({ pre_tokenizer }, { add_prefix_space: true });
  assertEquals(spaced.encode("some text"), plain.encode(" some text"));
  assertEquals([...plain.encode("</s>")], [2]);
  const splitting = load({}, { split_special_tokens: true });
  assertEquals(splitting.encode("</s>").includes(2), false);
  assertEquals(splitting.decode(splitting.encode("</s>")), "</s>");
});

Deno.test("added tokens are found whatever the model does with spaces itself", () => {
  const token = { special: false, single_word: false, lstrip: true, rstrip: false };
  const added_tokens = [
    { ...token, id: 10, content: "<n>", normalized: true },
    { ...token, id: 11, content: "<r>", normalized: false },
  ];
  const vocab = { "\u2581": 0, a: 1, "\u2581a": 2, "<unk>": 3 };
  const model = { type: "BPE", vocab, merges: ["\u2581 a"], unk_token: "<unk>" };
  const pre_tokenizer = {
    type: "Metaspace",
    replacement: "\u2581",
    prepend_scheme: "first",
    split: false,
  };
  const tokenizer = load({ model, added_tokens, pre_tokenizer, normalizer: null, decoder: null });
  assertEquals([...tokenizer.encode("a <n>a <r>a a")], [2, 10, 1, 11, 1, 2]);
});

Deno.test("a unigram model that has one text twice decodes both", () => {
  const model = { type: "Unigram", unk_id: 0, vocab: [["<unk>", 0], ["a", -1], ["<unk>", -2]] };
  const tokenizer = load({
    model,
    added_tokens: [],
    pre_tokenizer: null,
    decoder: { type: "Fuse" },
  });
  assertEquals(tokenizer.decode([0, 1, 2]), "<unk>a<unk>");
});

Deno.test("a unigram model's scores are read as the tokenizers library reads them", () => {
  const vocab = [
    ["<unk>", 0],
    ["\u2581", -1.8355793952941895],
    ["p", -5.289096832275391],
    ["ppp", -9.374795913696289],
  ];
  const pre_tokenizer = { type: "Metaspace", replacement: "\u2581", prepend_scheme: "always" };
  const model = { type: "Unigram", unk_id: 0, vocab };
  const tokenizer = load({ model, added_tokens: [], pre_tokenizer, decoder: null });
  assertEquals([...tokenizer.encode("p".repeat(5))], [1, 2, 2, 3]);
  assertEquals([...tokenizer.encode("p".repeat(8))], [1, 3, 3, 2, 2]);
  assertEquals([...tokenizer.encode("p".repeat(16))], [1, 3, 3, 2, 3, 3, 3]);
});

Deno.test("a token of space that the one before it has stripped is not found again", () => {
  const token = { id: 3, content: "\n", special: false, single_word: false, normalized: false };
  const model = { type: "BPE", vocab: { a: 0, " ": 1, b: 2 }, merges: [] };
  const encode = (lstrip: boolean, text: string) => {
    const added_tokens = [{ ...token, lstrip, rstrip: true }];
    return [...load({ model, added_tokens, pre_tokenizer: null, decoder: null }).encode(text)];
  };
  assertEquals(encode(true, "a\n \n\nb"), [0, 3, 2]);
  assertEquals(encode(true, "\n\n"), [3]);
  assertEquals(encode(false, "a\n \n\nb"), [0, 3, 3, 3, 2]); // as the tokenizers library has it
});
