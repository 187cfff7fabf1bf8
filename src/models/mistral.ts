/** Mistral: llama with a sliding window. @see arXiv:2310.06825 @module */
import { type ModelConfig, readInteger } from "./config_json.ts";
import { llamaLike } from "./llama.ts";
import type { ModelDescription } from "./model.ts";

/** What transformers takes where config.json has no such key, and llama takes something else. */
const DEFAULTS = { max_position_embeddings: 131072, num_key_value_heads: 8 };

/**
 * Describes a mistral model.
 *
 * @param given config.json; keys as in transformers 4 or 5. `sliding_window` null is no window, and
 * without the key it is 4096, as in transformers
 * @throws {ConfigError} On a missing, wrong or unsupported key
 */
export function mistral(given: ModelConfig): ModelDescription {
  const config: ModelConfig = { ...DEFAULTS, ...given };
  const window = config.sliding_window === null
    ? undefined
    : readInteger(config, "sliding_window", { fallback: 4096 });
  return llamaLike(config, { family: "mistral", window });
}
