/** Qwen2: llama with biases on queries, keys and values. @see arXiv:2407.10671 @module */
import { type ModelConfig, requireFalse } from "./config_json.ts";
import { llamaLike } from "./llama.ts";
import type { ModelDescription } from "./model.ts";

/** What transformers takes where config.json has no such key, and llama takes something else. */
const DEFAULTS = { max_position_embeddings: 32768, num_key_value_heads: 32 };

/**
 * Describes a qwen2 model.
 *
 * @param given config.json; keys as in transformers 4 or 5
 * @throws {ConfigError} On a missing, wrong or unsupported key
 */
export function qwen2(given: ModelConfig): ModelDescription {
  const config: ModelConfig = { ...DEFAULTS, ...given };
  requireFalse(config, "use_sliding_window"); // it would hold for some of the layers
  return llamaLike(config, { family: "qwen2", qkvBias: true });
}
