/** Finds and loads the tokenizer of a model directory. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { isLfsPointer, POINTER_REASON } from "../formats/lfs_pointer.ts";
import { HfTokenizer } from "./hf/hf_tokenizer.ts";
import { ChatGlmTokenizer } from "./sentencepiece/chatglm_tokenizer.ts";
import { parseModel } from "./sentencepiece/model_file.ts";
import { SentencePiece } from "./sentencepiece/sentence_piece.ts";
import { type SlowRules, SlowTokenizer } from "./sentencepiece/slow_tokenizer.ts";
import { readSpecialTokens } from "./special_tokens.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Loads the tokenizer of a directory: `tokenizer.json` if there is one, else `tokenizer.model` with the
 * rules of `tokenizer_class`. `tokenizer_config.json` and `special_tokens_map.json` are read for both.
 *
 * @throws {ConfigError} If there is none, or it cannot be used; names the file
 */
export function loadTokenizer(dir: string): Tokenizer {
  const json = join(dir, "tokenizer.json"), model = join(dir, "tokenizer.model");
  const text = readIfThere(json, Deno.readTextFileSync);
  if (text !== undefined) {
    return loading(json, () => new HfTokenizer(text, readSpecialTokens(dir)));
  }
  const bytes = readIfThere(model, Deno.readFileSync);
  if (bytes !== undefined) return loading(model, () => fromModel(bytes, dir));
  throw new ConfigError(
    `Cannot load tokenizer from ${dir}: it must hold tokenizer.json or tokenizer.model`,
  );
}

const NAMES = { bos: "<s>", eos: "</s>", unk: "<unk>" };
const LLAMA: SlowRules = {
  names: NAMES,
  addBos: true,
  addEos: false,
  ownsPrefix: true,
  decoding: "json",
};
const RULES: Record<string, SlowRules> = {
  LlamaTokenizer: LLAMA,
  LlamaTokenizerFast: LLAMA,
  BaichuanTokenizer: { ...LLAMA, ownsPrefix: false, decoding: "spaced" },
};

function fromModel(bytes: Uint8Array, dir: string): Tokenizer {
  const sp = new SentencePiece(parseModel(bytes)), special = readSpecialTokens(dir);
  const kind = special.config["tokenizer_class"] ?? "LlamaTokenizer";
  if (kind === "ChatGLMTokenizer") {
    return new ChatGlmTokenizer(sp, special.config["encode_special_tokens"] === true);
  }
  const rules = Object.hasOwn(RULES, String(kind)) ? RULES[String(kind)] : undefined;
  if (rules !== undefined) return new SlowTokenizer(sp, special, rules);
  throw new TypeError(
    `tokenizer_class ${
      JSON.stringify(kind)
    } has rules that are not known here: it must be one of ` +
      `${[...Object.keys(RULES), "ChatGLMTokenizer"].join(", ")}, or tokenizer.json must be there`,
  );
}

function readIfThere<T>(path: string, read: (path: string) => T): T | undefined {
  try {
    return read(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new ConfigError(`Cannot load tokenizer from ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Runs what builds a tokenizer; what is wrong with the file is the user's to know. */
function loading<T>(path: string, build: () => T): T {
  try {
    return build();
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    const isFault = cause instanceof TypeError || cause instanceof SyntaxError ||
      cause instanceof RangeError;
    if (!isFault) throw cause;
    if (isLfsPointer(path)) throw new ConfigError(`Cannot read ${path} as ${POINTER_REASON}`);
    throw new ConfigError(`Cannot load tokenizer from ${path}: ${cause.message}`, { cause });
  }
}
