/** The table of model families. @module */
import { requirePlainWeights } from "../checkpoint/quantization.ts";
import { ConfigError } from "../config/config_error.ts";
import { baichuan } from "./baichuan.ts";
import { bloom } from "./bloom.ts";
import { chatglm } from "./chatglm.ts";
import { type ModelConfig, readInteger } from "./config_json.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { mixtral } from "./mixtral.ts";
import type { ModelDescription } from "./model.ts";
import { qwen2 } from "./qwen2.ts";

/** Families by `model_type` of config.json. A new family is one file and one line here. */
export const FAMILIES: Readonly<Record<string, (config: ModelConfig) => ModelDescription>> = {
  baichuan,
  bloom,
  chatglm,
  llama,
  mistral,
  mixtral,
  qwen2,
};

/**
 * Describes the model of a config.json.
 *
 * @param file Where it was read, for messages
 * @throws {ConfigError} On an unknown family or a bad key
 */
export function describeModel(config: ModelConfig, file?: string): ModelDescription {
  try {
    requirePlainWeights(config, "config.json"); // checkpoints of a new model keep it too
    const model = familyOf(config)(config);
    // rows are filled with it, whether or not the family knows of padding
    readInteger(config, "pad_token_id", { min: -1, max: model.vocabSize - 1, fallback: -1 });
    return model;
  } catch (error) {
    if (!(error instanceof ConfigError) || file === undefined) throw error;
    throw new ConfigError(error.problems.map((problem) => `${problem} (${file})`));
  }
}

function familyOf(config: ModelConfig): (config: ModelConfig) => ModelDescription {
  const type = config.model_type;
  if (typeof type === "string" && Object.hasOwn(FAMILIES, type)) return FAMILIES[type];
  throw new ConfigError([
    `Cannot read config.json as model_type must be one of ${Object.keys(FAMILIES).join(", ")}: ` +
    `current value is ${JSON.stringify(type)}`,
  ]);
}
