/** Tensor names of qwen2. @module */
import { biases, type FamilyNames } from "./family_names.ts";
import { llama } from "./llama.ts";

/** `model_type` qwen2: llama with biases on queries, keys and values. */
export const qwen2: FamilyNames = {
  ...llama,
  block: {
    prefix: llama.block.prefix,
    names: (config) => [
      ...llama.block.names(config),
      ...biases(...["q", "k", "v"].map((x) => `self_attn.${x}_proj`)),
    ],
  },
};
