/** Tensor names of llama. @module */
import { biases, type FamilyNames, weights } from "./family_names.ts";

const ATTENTION = ["q", "k", "v", "o"].map((x) => `self_attn.${x}_proj`);
const MLP = ["gate", "up", "down"].map((x) => `mlp.${x}_proj`);

/** `model_type` llama; the head's matrix is called embed_tokens in the pipeline layout. */
export const llama: FamilyNames = {
  blockCount: ["num_hidden_layers"],
  embedding: { "embed_tokens.weight": "model.embed_tokens.weight" },
  block: {
    prefix: "model.layers.{i}.",
    names: ({ isSet }) => [
      ...weights(...ATTENTION, ...MLP, "input_layernorm", "post_attention_layernorm"),
      ...(isSet("attention_bias") ? biases(...ATTENTION) : []),
      ...(isSet("mlp_bias") ? biases(...MLP) : []),
    ],
  },
  head: { "norm.weight": "model.norm.weight", "embed_tokens.weight": "lm_head.weight" },
  headMatrix: "lm_head.weight",
  tiedByDefault: false,
};
