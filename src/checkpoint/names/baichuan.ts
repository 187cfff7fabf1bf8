/** Tensor names of baichuan. @module */
import { type FamilyNames, weights } from "./family_names.ts";

/** `model_type` baichuan, 7B and 13B: llama with one matrix for queries, keys and values. */
export const baichuan: FamilyNames = {
  blockCount: ["num_hidden_layers"],
  embedding: { "embed_tokens.weight": "model.embed_tokens.weight" },
  block: {
    prefix: "model.layers.{i}.",
    names: () =>
      weights(
        "self_attn.W_pack",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
        "input_layernorm",
        "post_attention_layernorm",
      ),
  },
  head: { "norm.weight": "model.norm.weight", "lm_head.weight": "lm_head.weight" },
  headMatrix: "lm_head.weight",
  tiedByDefault: false,
};
