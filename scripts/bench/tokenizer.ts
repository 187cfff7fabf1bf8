/**
 * Tokenizer throughput on one core: a byte-level and a SentencePiece-like BPE of 32,000 tokens are
 * trained on one half of a corpus and encode the other half (10 MB).
 *
 *     deno run -A scripts/bench/tokenizer.ts [CORPUS.txt|.json|.jsonl] [--tokenizer DIR]...
 *         [--peer PYTHON]
 *
 * With `--tokenizer` nothing is trained: the tokenizers in these directories, such as those of a model
 * with a vocabulary of 250,000 tokens, encode 10 MB of the corpus. Without a file the corpus is what text the
 * machine has under /usr/share; `scripts/corpus` makes one of many languages. Cold: a tokenizer that was
 * just loaded, best of three; warm: the same text once more. On a busy machine the rate per CPU second
 * (all threads of the process) says more than the other. With `--peer` Hugging Face's tokenizers read
 * the same files and encode the same texts right before; the ratio is of the cold rates per CPU second.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { basename, join } from "@std/path";
import process from "node:process";
import { gunzipSync } from "node:zlib";
import { CHARACTER_OF_BYTE } from "../../src/tokenizer/byte_alphabet.ts";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { corpusTexts } from "../../src/tokenizer/train/corpus_texts.ts";
import { learnMerges } from "../../src/tokenizer/train/learn_merges.ts";
import { trainTokenizer } from "../../src/tokenizer/train/train.ts";
import { runPeer, times } from "./peer.ts";

const HALF = 10e6, VOCAB = 32_000, RUNS = 3;
const FOLDERS = ["doc", "common-licenses", "perl", "perl5", "man", "i18n/locales"];

const { _: [corpus], tokenizer: given, peer } = parseArgs(Deno.args, {
  string: ["tokenizer", "peer"],
  collect: ["tokenizer"],
});
const texts = corpus ? corpusTexts(String(corpus)) : machineTexts();
const { train, test } = halves(texts, given.length === 0);
const megabytes = bytesOf(test) / 1e6;
console.log(`corpus: ${test.length} texts, ${megabytes.toFixed(1)} MB encoded`);
if (given.length > 0) { for (const home of given) measure(basename(home), home, ""); }
else measureTrained();

function measureTrained(): void {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-bench-" });
  try {
    for (const [kind, make] of [["byte-level", byteLevel], ["sentencepiece", metaspace]] as const) {
      const home = join(dir, kind), start = performance.now();
      Deno.mkdirSync(home);
      make(home);
      const trained = (performance.now() - start) / 1e3;
      expectLossless(kind, home);
      measure(kind, home, `  trained in ${trained.toFixed(1)} s`);
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function expectLossless(kind: string, home: string): void {
  const checked = loadTokenizer(home);
  for (const text of test.slice(0, 200)) {
    const back = checked.decode(checked.encode(text));
    if (back !== text) throw new Error(`${kind}: a text does not survive encode and decode`);
  }
}

function measure(kind: string, home: string, note: string): void {
  const peers = peer && runTokenizers(peer, home);
  let load = Infinity, ids = 0;
  const best = { cold: [Infinity, Infinity], warm: [Infinity, Infinity] };
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    const tokenizer = loadTokenizer(home);
    load = Math.min(load, performance.now() - start);
    for (const least of [best.cold, best.warm]) {
      const begin = performance.now(), cpu = cpuSeconds();
      ids = 0;
      for (const text of test) ids += tokenizer.encode(text).length;
      least[0] = Math.min(least[0]!, (performance.now() - begin) / 1e3);
      least[1] = Math.min(least[1]!, cpuSeconds() - cpu);
    }
  }
  const rate = (least: number[]) => {
    const [wall, cpu] = least.map((seconds) => (megabytes / seconds).toFixed(1));
    return `${wall} MB/s (${cpu} per CPU second)`;
  };
  const ratio = peers
    ? `  ${times(megabytes / best.cold[1]!, peers.cpuRate)} of tokenizers' ${
      peers.cpuRate.toFixed(1)
    }` +
      (peers.ids === ids ? "" : `, which makes ${peers.ids} ids`)
    : "";
  console.log(
    `${kind.padEnd(13)}  cold ${rate(best.cold)}  warm ${rate(best.warm)}  ${ids} ids  ` +
      `load ${load.toFixed(0)} ms${note}${ratio}`,
  );
}

function runTokenizers(python: string, home: string): { cpuRate: number; ids: number } {
  const file = Deno.makeTempFileSync({ prefix: "llmpipe-bench-" });
  try {
    Deno.writeTextFileSync(file, JSON.stringify(test));
    return runPeer(python, "tokenizer", [join(home, "tokenizer.json"), file]);
  } finally {
    Deno.removeSync(file);
  }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function byteLevel(home: string): void {
  const file = join(home, "train.jsonl");
  Deno.writeTextFileSync(file, train.map((text) => JSON.stringify({ text }) + "\n").join(""));
  trainTokenizer(file, home, { vocabSize: VOCAB, force: true });
}

/** A tokenizer.json as Llama 2 has it: characters, U+2581 for spaces, bytes for the rest. */
function metaspace(home: string): void {
  const bytes = CHARACTER_OF_BYTE.map((_, b) =>
    `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`
  );
  const tokens = ["<unk>", "<s>", "</s>", ...bytes];
  const words = new Map<string, number>(), characters = new Map<string, number>();
  for (const text of train) {
    // as SentencePiece trains: no piece holds a newline, or letters and digits or signs
    for (const word of text.match(/ *(?:\p{L}[\p{L}\p{M}]*|\p{N}|[^\s\p{L}\p{N}]+)| +/gu) ?? []) {
      const meta = word.replaceAll(" ", "\u2581");
      words.set(meta, (words.get(meta) ?? 0) + 1);
      for (const c of meta) characters.set(c, (characters.get(c) ?? 0) + 1);
    }
  }
  const idOf = new Map<string, number>();
  for (const [c, count] of characters) if (count > 50) idOf.set(c, tokens.push(c) - 1);
  const known = [...words].map(([word, count]) => ({
    ids: [...word].map((c) => idOf.get(c) ?? 0), // an unknown character is in no merge
    count,
  })).filter(({ ids }) => !ids.includes(0));
  const begins = new Int32Array(known.length + 1);
  known.forEach(({ ids }, i) => begins[i + 1] = begins[i]! + ids.length);
  const counted = {
    symbols: Int32Array.from(known.flatMap(({ ids }) => ids)),
    begins,
    counts: Float64Array.from(known, ({ count }) => count),
  };
  const merges = learnMerges(counted, { tokens, vocabSize: VOCAB, minFrequency: 2 });
  const replace = (from: string, content: string) => ({
    type: "Replace",
    pattern: { String: from },
    content,
  });
  const json = {
    added_tokens: [],
    normalizer: {
      type: "Sequence",
      normalizers: [{ type: "Prepend", prepend: "\u2581" }, replace(" ", "\u2581")],
    },
    decoder: {
      type: "Sequence",
      decoders: [
        replace("\u2581", " "),
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(({ left, right }) => [tokens[left], tokens[right]]),
    },
  };
  Deno.writeTextFileSync(join(home, "tokenizer.json"), JSON.stringify(json));
}

/** Alternate texts, so that both halves hold the same languages; else all of them are for the test. */
function halves(
  texts: Iterable<string>,
  trains: boolean,
): { train: string[]; test: string[] } {
  const train: string[] = [], test: string[] = [];
  let trainBytes = 0, testBytes = 0;
  for (const whole of texts) {
    for (let at = 0; at < whole.length; at += 20_000) {
      const text = whole.slice(at, at + 20_000).toWellFormed();
      const bytes = bytesOf([text]);
      if (trains && trainBytes <= testBytes) {
        train.push(text);
        trainBytes += bytes;
      } else {
        test.push(text);
        testBytes += bytes;
      }
      if (testBytes >= HALF) return { train, test };
    }
  }
  return { train, test };
}

function bytesOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + new TextEncoder().encode(text).length, 0);
}

/** Documentation, manual pages and the like, in a fixed order that mixes the folders. */
function* machineTexts(): Generator<string> {
  const files = FOLDERS.flatMap((folder) => [...walk(join("/usr/share", folder))])
    .map((path) => ({ path, order: Math.imul(hash(path), 0x9e3779b1) }))
    .sort((a, b) => a.order - b.order);
  for (const { path } of files) {
    try {
      const bytes = Deno.readFileSync(path);
      const plain = path.endsWith(".gz") ? gunzipSync(bytes) : bytes;
      const text = new TextDecoder("utf-8", { fatal: true }).decode(plain);
      if (text.length > 200 && !text.includes("\0")) yield text;
    } catch { /* not a text */ }
  }
}

function* walk(folder: string): Generator<string> {
  let entries: Deno.DirEntry[] = [];
  try {
    entries = [...Deno.readDirSync(folder)];
  } catch { /* not on this machine */ }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* walk(path);
    else if (entry.isFile) yield path;
  }
}

function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h;
}
