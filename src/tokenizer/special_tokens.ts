/** What tokenizer_config.json and special_tokens_map.json say. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { parseJson } from "../formats/json_exact.ts";

/** A token that the configuration names. */
export interface NamedToken {
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

/** Special tokens of a directory, and settings of its tokenizer. */
export interface SpecialTokens {
  /** Begins a sequence. */
  bos: string | undefined;
  /** Ends a sequence. */
  eos: string | undefined;
  /** Fills rows. */
  pad: string | undefined;
  /** Stands for what is not in the vocabulary. */
  unk: string | undefined;
  /** What the class has where the files name nothing; counts only if the vocabulary has it. */
  byClass: ClassTokens;
  /** Texts of all that are named, such as `bos_token`: what chat templates see. */
  texts: Readonly<Record<string, string>>;
  /** `added_tokens_decoder` in order of ids; what it says of a token counts more than other files. */
  listed: readonly NamedToken[];
  /** The tokens that are named for what they are for, such as `bos_token`: special in any case. */
  named: readonly NamedToken[];
  /** Special tokens that are only listed: they are added if no other file has them. */
  extra: readonly NamedToken[];
  /** `add_bos_token`. */
  addBos: boolean | undefined;
  /** `add_eos_token`. */
  addEos: boolean | undefined;
  /** `add_prefix_space`. */
  addPrefixSpace: boolean | undefined;
  /** `split_special_tokens`: special tokens that are written in a text are text. */
  splitsSpecial: boolean;
  /** The class makes its template from these two rather than from tokenizer.json. */
  rebuildsTemplate: boolean;
  /** All of tokenizer_config.json. */
  config: Readonly<Record<string, unknown>>;
}

/** Texts of special tokens. */
export interface ClassTokens {
  /** Begins a sequence. */
  bos?: string;
  /** Ends a sequence. */
  eos?: string;
  /** Fills rows. */
  pad?: string;
  /** Stands for what is not in the vocabulary. */
  unk?: string;
  /** Stands for what is to be guessed. */
  mask?: string;
}

const GPT2 = { bos: "<|endoftext|>", eos: "<|endoftext|>", unk: "<|endoftext|>" };
const LLAMA = { bos: "<s>", eos: "</s>", unk: "<unk>" };

/** Those of transformers' classes, by the word that their names and model types begin with. */
const CLASSES: Record<string, ClassTokens> = {
  bloom: { ...LLAMA, pad: "<pad>" },
  codellama: LLAMA,
  gemma: { bos: "<bos>", eos: "<eos>", unk: "<unk>", pad: "<pad>", mask: "<mask>" },
  gpt2: GPT2,
  gptneox: GPT2,
  llama: LLAMA,
  qwen2: { eos: "<|endoftext|>", unk: "<|endoftext|>", pad: "<|endoftext|>" },
  t5: { eos: "</s>", unk: "<unk>", pad: "<pad>" },
};

const NAMES = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((name) => `${name}_token`);
/** Special tokens without a purpose that is known here: a list, or an object of names. */
const MORE = ["additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"];
const REBUILDS = /^(Llama|CodeLlama|Gemma|Cohere)Tokenizer(Fast)?$/;

/**
 * Reads both files; either may be missing.
 *
 * @throws {ConfigError} If one is not a JSON object
 */
export function readSpecialTokens(dir: string): SpecialTokens {
  const config = readObject(join(dir, "tokenizer_config.json"));
  const decoder = config["added_tokens_decoder"];
  // where the configuration lists added tokens, the other file is not looked at
  const map = decoder ? {} : readObject(join(dir, "special_tokens_map.json"));
  const named = { ...config, ...map };
  const text = (key: string) => asToken(named[key])?.content;
  const listed = Object.entries(isObject(decoder) ? decoder : {})
    .sort(([a], [b]) => Number(a) - Number(b)).map(([, value]) => asToken(value));
  const more = MORE.map((key) => named[key]);
  const purposes = [
    ...NAMES.map((key) => named[key]),
    ...more.flatMap((value) => isObject(value) ? Object.values(value) : []),
  ];
  const flag = (key: string) => typeof config[key] === "boolean" ? config[key] : undefined;
  const kind = String(
    config["tokenizer_class"] ?? readObject(join(dir, "config.json"))["model_type"],
  );
  const found = CLASSES[kind.replace(/Tokenizer(Fast)?$/, "").replaceAll("_", "").toLowerCase()];
  const unnamed = Object.entries(found ?? {}).filter(([key]) =>
    !Object.hasOwn(named, `${key}_token`)
  );
  const texts = NAMES.map((key) => [key, text(key)] as const);
  return {
    byClass: Object.fromEntries(unnamed),
    texts: Object.fromEntries([
      ...unnamed.map(([key, content]) => [`${key}_token`, content]),
      ...texts.filter(([_, content]) => content !== undefined),
    ]),
    bos: text("bos_token"),
    eos: text("eos_token"),
    pad: text("pad_token"),
    unk: text("unk_token"),
    listed: listed.filter((token) => token !== undefined),
    named: asSpecial(purposes),
    extra: asSpecial(more.flatMap((value) => Array.isArray(value) ? value : [])),
    addBos: flag("add_bos_token"),
    addEos: flag("add_eos_token"),
    addPrefixSpace: flag("add_prefix_space"),
    splitsSpecial: config["split_special_tokens"] === true,
    rebuildsTemplate: REBUILDS.test(String(config["tokenizer_class"])),
    config,
  };
}

/** Parses a JSON file that may be missing. */
function readObject(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw new ConfigError(`Cannot load tokenizer as ${path} is not JSON: ${message(cause)}`, {
      cause,
    });
  }
  if (!isObject(value)) throw new ConfigError(`Cannot load tokenizer as ${path} is no JSON object`);
  return value;
}

function asToken(value: unknown): NamedToken | undefined {
  if (typeof value === "string" && value !== "") {
    const off = { singleWord: false, lstrip: false, rstrip: false, normalized: false };
    return { content: value, ...off, special: true };
  }
  if (!isObject(value) || typeof value["content"] !== "string" || value["content"] === "") {
    return undefined;
  }
  return {
    content: value["content"],
    singleWord: value["single_word"] === true,
    lstrip: value["lstrip"] === true,
    rstrip: value["rstrip"] === true,
    normalized: value["normalized"] !== false,
    special: value["special"] === true,
  };
}

function asSpecial(values: readonly unknown[]): NamedToken[] {
  return values.map(asToken).filter((token) => token !== undefined)
    .map((token) => ({ ...token, special: true }));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
