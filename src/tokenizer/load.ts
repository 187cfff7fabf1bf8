/** Finds and loads the tokenizer of a model directory. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { HfTokenizer } from "./hf/hf_tokenizer.ts";
import { readSpecialTokens } from "./special_tokens.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Loads the tokenizer of a directory: `tokenizer.json` if there is one, else `tokenizer.model`, with
 * `tokenizer_config.json` and `special_tokens_map.json`.
 *
 * @throws {ConfigError} If there is none, or it cannot be used; names the file
 */
export function loadTokenizer(dir: string): Tokenizer {
  const json = join(dir, "tokenizer.json");
  const text = readIfThere(json, Deno.readTextFileSync);
  if (text !== undefined) {
    return loading(json, () => new HfTokenizer(JSON.parse(text), readSpecialTokens(dir)));
  }
  throw new ConfigError(
    `Cannot load tokenizer from ${dir}: it must hold tokenizer.json or tokenizer.model`,
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
    throw new ConfigError(`Cannot load tokenizer from ${path}: ${cause.message}`, { cause });
  }
}
