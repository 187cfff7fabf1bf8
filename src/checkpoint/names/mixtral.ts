/** Tensor names of mixtral. @module */
import { type FamilyNames, weights } from "./family_names.ts";
import { llama } from "./llama.ts";

/** `model_type` mixtral: llama with experts in place of the MLP. */
export const mixtral: FamilyNames = {
  ...llama,
  block: {
    prefix: llama.block.prefix,
    names(count) {
      const experts = Array.from({ length: count("num_local_experts") }, (_, e) => e);
      return weights(
        ...["q", "k", "v", "o"].map((x) => `self_attn.${x}_proj`),
        "block_sparse_moe.gate",
        ...experts.flatMap((e) =>
          ["w1", "w2", "w3"].map((w) => `block_sparse_moe.experts.${e}.${w}`)
        ),
        "input_layernorm",
        "post_attention_layernorm",
      );
    },
    optional: [],
  },
};
