/** Tensor names of mixtral. @module */
import { type ConfigKeys, type FamilyNames, weights } from "./family_names.ts";
import { llama } from "./llama.ts";

/** Matrices of each expert, such as `["w1", "w3"]`. */
function experts({ count }: ConfigKeys, matrices: readonly string[]): string[][] {
  return Array.from(
    { length: count("num_local_experts") },
    (_, e) => weights(...matrices.map((w) => `block_sparse_moe.experts.${e}.${w}`)),
  );
}

/**
 * `model_type` mixtral: llama with experts in place of the MLP. transformers 5 has all experts of a
 * block in two tensors, and writes them so when it is asked not to write the older form.
 */
export const mixtral: FamilyNames = {
  ...llama,
  block: {
    prefix: llama.block.prefix,
    names: (config) => [
      ...weights(...["q", "k", "v", "o"].map((x) => `self_attn.${x}_proj`)),
      ...weights("block_sparse_moe.gate"),
      ...experts(config, ["w1", "w2", "w3"]).flat(),
      ...weights("input_layernorm", "post_attention_layernorm"),
    ],
    aliases: { "mlp.gate.weight": "block_sparse_moe.gate.weight" },
    stacks: (config) => ({
      "mlp.experts.gate_up_proj": experts(config, ["w1", "w3"]),
      "mlp.experts.down_proj": experts(config, ["w2"]),
    }),
  },
};
