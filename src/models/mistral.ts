/** Mistral: llama with a sliding window. @see arXiv:2310.06825 @module */
import { type ModelConfig, readInteger } from "./config_json.ts";
import { llamaLike } from "./llama.ts";
import type { ModelDescription } from "./model.ts";

/**
 * Describes a mistral model.
 *
 * @param config config.json; keys as in transformers 4 or 5. `sliding_window` null is no window, and
 * without the key it is 4096, as in transformers
 * @throws {ConfigError} On a missing, wrong or unsupported key
 */
export function mistral(config: ModelConfig): ModelDescription {
  const window = config.sliding_window === null
    ? undefined
    : readInteger(config, "sliding_window", { fallback: 4096 });
  return llamaLike(config, { family: "mistral", window });
}
