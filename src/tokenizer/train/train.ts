/** Trains a byte-level BPE tokenizer and writes it as Hugging Face files. @module */
import { join } from "@std/path";
import { ConfigError } from "../../config/config_error.ts";
import { isSystemError } from "../../formats/file_bytes.ts";
import { CHARACTER_OF_BYTE } from "../byte_alphabet.ts";
import { makeMatcher } from "../matcher.ts";
import { LLAMA3_PATTERN } from "../patterns.ts";
import { PieceList, Splitter } from "../splitter.ts";
import { UnitBuffer } from "../units.ts";
import { corpusTexts } from "./corpus_texts.ts";
import { type CountedWords, type LearnedMerge, learnMerges } from "./learn_merges.ts";

/** Special tokens that every tokenizer made here has, with the ids 0, 1, 2. */
export const TRAINED_SPECIALS = { bos: "<s>", eos: "</s>", pad: "<pad>" } as const;

/** What to train. */
export interface TrainOptions {
  /** Size of the vocabulary, special tokens and 256 bytes included. */
  vocabSize: number;
  /** Special tokens after those of {@linkcode TRAINED_SPECIALS}. */
  specials?: readonly string[];
  /** A pair that occurs less often becomes no token (default 2). */
  minFrequency?: number;
}

/** A trained vocabulary. */
export interface TrainedBpe {
  /** Tokens by id, in the byte alphabet. */
  tokens: string[];
  /** Merges in order. */
  merges: LearnedMerge[];
  /** Special tokens; their ids are the first ones. */
  specials: string[];
}

/**
 * Trains on texts. The same texts give the same vocabulary.
 *
 * @throws {RangeError} If the vocabulary is too small for the bytes and special tokens, or the texts
 * have too few words
 */
export function trainBpe(texts: Iterable<string>, options: TrainOptions): TrainedBpe {
  const { vocabSize, minFrequency = 2 } = options;
  const specials = [...new Set([...Object.values(TRAINED_SPECIALS), ...options.specials ?? []])];
  const least = specials.length + 256;
  if (vocabSize < least) {
    throw new RangeError(
      `Cannot train tokenizer as the vocabulary must have at least ${least} tokens (256 bytes and ` +
        `${specials.length} special tokens): current size is ${vocabSize}`,
    );
  }
  const alphabet = CHARACTER_OF_BYTE.toSorted((a, b) => a.charCodeAt(0) - b.charCodeAt(0));
  const tokens = [...specials, ...alphabet];
  const idOfByte = CHARACTER_OF_BYTE.map((c) => specials.length + alphabet.indexOf(c));
  const counts = countWords(texts, new Splitter(makeMatcher(LLAMA3_PATTERN), "Isolated"));
  if (counts.size === 0) {
    throw new RangeError("Cannot train tokenizer as there is no text to learn");
  }
  const words = asBytes(counts, idOfByte);
  return { tokens, merges: learnMerges(words, { tokens, vocabSize, minFrequency }), specials };
}

/** Counts the pieces of texts. */
export function countWords(texts: Iterable<string>, splitter: Splitter): Map<string, number> {
  const counts = new Map<string, number>(), units = new UnitBuffer(), pieces = new PieceList();
  for (const text of texts) {
    const size = units.load(text, 0, text.length);
    pieces.count = 0;
    splitter.split(units.data, 0, size, pieces);
    for (let i = 0; i < pieces.count; i++) {
      const word = text.slice(pieces.begins[i], pieces.ends[i]), count = counts.get(word);
      // a slice would keep the whole text alive
      if (count === undefined) counts.set(` ${word}`.slice(1), 1);
      else counts.set(word, count + 1);
    }
  }
  return counts;
}

function asBytes(counts: ReadonlyMap<string, number>, idOfByte: readonly number[]): CountedWords {
  const encoder = new TextEncoder(), begins = new Int32Array(counts.size + 1);
  let n = 0;
  const words = [...counts.keys()].map((word) => {
    const bytes = encoder.encode(word);
    begins[++n] = begins[n - 1]! + bytes.length;
    return bytes;
  });
  const symbols = new Int32Array(begins[n]!);
  let at = 0;
  for (const word of words) for (const byte of word) symbols[at++] = idOfByte[byte]!;
  return { symbols, begins, counts: Float64Array.from(counts.values()) };
}

/**
 * Trains on a file and writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`.
 *
 * @param input See {@linkcode corpusTexts}
 * @returns Size of the vocabulary: smaller than asked for when the texts have no more pairs
 * @throws {ConfigError} If the file cannot be read, the options are wrong, or the directory cannot be
 * written or holds a tokenizer
 */
export function trainTokenizer(
  input: string,
  saveDir: string,
  options: TrainOptions & { force?: boolean },
): number {
  makeRoom(saveDir, options.force ?? false);
  let trained: TrainedBpe;
  try {
    trained = trainBpe(corpusTexts(input), options);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new ConfigError(`Cannot train tokenizer as ${input} does not exist`, { cause });
    }
    if (cause instanceof RangeError || cause instanceof SyntaxError) {
      throw new ConfigError(cause.message, { cause });
    }
    if (isSystemError(cause)) throw new ConfigError(`Cannot read ${input}`, { cause });
    throw cause;
  }
  const { bos, eos, pad } = TRAINED_SPECIALS;
  const names = { bos_token: bos, eos_token: eos, pad_token: pad };
  const others = trained.specials.slice(3);
  const map = others.length > 0 ? { ...names, additional_special_tokens: others } : names;
  write(join(saveDir, "tokenizer.json"), tokenizerJson(trained));
  write(join(saveDir, "special_tokens_map.json"), map);
  write(join(saveDir, "tokenizer_config.json"), {
    added_tokens_decoder: Object.fromEntries(
      trained.specials.map((content, id) => [id, { content, ...SPECIAL }]),
    ),
    ...map,
    clean_up_tokenization_spaces: false,
    model_max_length: 1e30,
    tokenizer_class: "PreTrainedTokenizerFast",
  });
  return trained.tokens.length;
}

/** Makes a directory for a tokenizer before the work begins. */
function makeRoom(dir: string, force: boolean): void {
  let names: string[];
  try {
    Deno.mkdirSync(dir, { recursive: true });
    names = [...Deno.readDirSync(dir)].map(({ name }) => name);
    Deno.removeSync(Deno.makeTempFileSync({ dir }));
  } catch (cause) {
    throw new ConfigError(`Cannot write a tokenizer to ${dir}`, { cause });
  }
  const found = names.filter((name) => /^tokenizer(_config\.json|\.json|\.model)$/.test(name))
    .sort();
  if (found.length === 0 || force) return;
  throw new ConfigError(
    `Cannot write a tokenizer to ${dir} as it holds one (${found.join(", ")}): choose another ` +
      `--save-path (--force replaces it)`,
  );
}

const SPECIAL = {
  lstrip: false,
  normalized: false,
  rstrip: false,
  single_word: false,
  special: true,
};
const BYTE_LEVEL = {
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: false,
};

function tokenizerJson({ tokens, merges, specials }: TrainedBpe): unknown {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map((content, id) => ({ id, content, ...SPECIAL })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: LLAMA3_PATTERN }, behavior: "Isolated", invert: false },
        BYTE_LEVEL,
      ],
    },
    post_processor: { ...BYTE_LEVEL, trim_offsets: false },
    decoder: BYTE_LEVEL,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(({ left, right }) => [tokens[left], tokens[right]]),
    },
  };
}

/** Complete or not at all: a temporary file, renamed. */
function write(path: string, value: unknown): void {
  const temporary = `${path}.tmp`;
  Deno.writeTextFileSync(temporary, JSON.stringify(value, null, 1) + "\n");
  Deno.renameSync(temporary, path);
}
