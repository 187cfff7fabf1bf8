/** Text generation. @module */
import { openModel } from "../checkpoint/model_source.ts";
import { ConfigError } from "../config/config_error.ts";
import { checkSource, loadWeights } from "../models/load_weights.ts";
import { chooseBackend, type DeviceChoice, requireType } from "../tensor/choose_backend.ts";
import { Device } from "../tensor/device.ts";
import type { FloatType } from "../tensor/dtype.ts";
import { loadChat, loadTokenizer, type Tokenizer } from "../tokenizer/mod.ts";
import { LanguageModel } from "./language_model.ts";
import { Sampler, type SamplingOptions } from "./sampler.ts";

/** What to generate. */
export interface GenerateOptions extends SamplingOptions {
  /** Model directory, Hugging Face or pipeline layout. */
  modelPath: string;
  /** The text to continue. */
  prompt: string;
  /** Takes the prompt for a message of the user. Default: false. */
  chat?: boolean;
  /** Most tokens to generate. */
  maxNewTokens: number;
  /** Texts that end the generation; they are not part of the result. */
  stop: readonly string[];
  /** Arithmetic; undefined for the type the weights are stored in. */
  dtype?: FloatType | undefined;
  /** Threads of CPU kernels, 0 for all cores. */
  threads?: number;
  /** Where the work is done (default auto). */
  device?: DeviceChoice | undefined;
}

/** Speed of a generation. */
export interface GenerateStatistics {
  /** Tokens of the prompt. */
  promptTokens: number;
  /** Seconds to the first token. */
  prefillSeconds: number;
  /** Tokens generated. */
  newTokens: number;
  /** Seconds spent on those after the first. */
  decodeSeconds: number;
}

/**
 * Yields the continuation of a prompt piece by piece, as soon as a piece can no longer turn into a
 * stop text. Ends at the end-of-text token, at a stop text, or after `maxNewTokens`.
 *
 * @throws {ConfigError} On a model that cannot be read, an empty prompt, or one that is too long
 */
export function* generate(
  options: GenerateOptions,
): Generator<string, GenerateStatistics> {
  using source = openModel(options.modelPath);
  const model = checkSource(source);
  const tokenizer = loadTokenizer(source.configDir);
  if (tokenizer.vocabSize > model.vocabSize) {
    throw new ConfigError([
      `Cannot generate with ${options.modelPath} as vocab_size in config.json must be at least ` +
      `the ${tokenizer.vocabSize} tokens of its tokenizer: current value is ${model.vocabSize}`,
    ]);
  }
  const prompt = options.chat
    ? askedAs(source.configDir, tokenizer, options.prompt)
    : tokenizer.encode(options.prompt);
  if (prompt.length === 0) throw new ConfigError(["Cannot generate from an empty prompt"]);

  const chosen = chooseBackend(options.device ?? "auto");
  const dtype = options.dtype ?? storedType(source.entry(0, source.names(0)[0]).dtype);
  requireType(chosen, dtype);
  const { backend } = chosen;
  using device = Device.open({ backend, threads: options.threads ?? 0 });
  const language = LanguageModel.load(device, model, {
    capacity: prompt.length + options.maxNewTokens,
    dtype,
  }, (store) => loadWeights(device, store, source));
  const sampler = new Sampler(device, options);
  const decoder = tokenizer.decodeStream({ skipSpecial: true });
  const ends = endTokens(source.config, tokenizer.eosId);
  if (options.chat && tokenizer.eosId !== undefined) ends.add(tokenizer.eosId); // the end of a turn
  const stops = new StopTexts(options.stop);
  const statistics = {
    promptTokens: prompt.length,
    prefillSeconds: 0,
    newTokens: 0,
    decodeSeconds: 0,
  };

  let start = performance.now();
  let id = sampler.next(language.extend(prompt));
  statistics.prefillSeconds = (performance.now() - start) / 1000;
  start = performance.now();
  while (statistics.newTokens < options.maxNewTokens && !stops.found && !ends.has(id)) {
    statistics.newTokens++;
    const hasText = id < tokenizer.vocabSize; // rows that pad the vocabulary stand for nothing
    const text = stops.push(hasText ? decoder.push(id) : "");
    if (text) yield text;
    if (statistics.newTokens === options.maxNewTokens) break;
    id = sampler.next(language.extend(Int32Array.of(id)));
  }
  statistics.decodeSeconds = (performance.now() - start) / 1000;
  const rest = stops.push(decoder.end()) + stops.end();
  if (rest) yield rest;
  return statistics;
}

/** Holds back text that may be the beginning of a stop text. */
export class StopTexts {
  /** True once a stop text has appeared. */
  found = false;
  readonly #stops: readonly string[];
  #held = "";

  /** Looks for any of `stops`. */
  constructor(stops: readonly string[]) {
    this.#stops = stops.filter(Boolean);
  }

  /** Adds text. Returns what can be shown: nothing after a stop text, nothing that may become one. */
  push(text: string): string {
    if (this.found) return "";
    const all = this.#held + text;
    const at = Math.min(...this.#stops.map((s) => all.indexOf(s)).filter((i) => i >= 0));
    if (at !== Infinity) {
      this.found = true;
      this.#held = "";
      return all.slice(0, at);
    }
    const longest = Math.max(0, ...this.#stops.map((stop) => overlap(all, stop)));
    this.#held = all.slice(all.length - longest);
    return all.slice(0, all.length - longest);
  }

  /** What is still held back when the text ends. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }
}

/** Length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let n = Math.min(text.length, stop.length - 1); n > 0; n--) {
    if (text.endsWith(stop.slice(0, n))) return n;
  }
  return 0;
}

function storedType(dtype: string): FloatType {
  return dtype === "BF16" ? "bf16" : dtype === "F16" ? "f16" : "f32";
}

/** A message of the user, and what makes the model answer. */
function askedAs(dir: string, tokenizer: Tokenizer, content: string): Int32Array {
  const chat = loadChat(dir, tokenizer);
  if (chat === undefined) {
    throw new ConfigError(
      `Cannot generate from a message of the user: ${dir} has no chat template (leave --chat out, or ` +
        `take chat_template.jinja, or tokenizer_config.json with chat_template, from a chat version of ` +
        `the model)`,
    );
  }
  return chat.encodePrompt({ messages: [{ role: "user", content }] });
}

/** The tokens that end a text: eos_token_id of config.json (a number or a list), else the tokenizer's. */
function endTokens(config: Record<string, unknown>, eosId: number | undefined): Set<number> {
  const ids = [config.eos_token_id ?? eosId].flat();
  return new Set(ids.filter((id) => typeof id === "number"));
}
