/** Tensor names of bloom. @module */
import { biases, type FamilyNames, weights } from "./family_names.ts";

const PARTS = [
  "input_layernorm",
  "self_attention.query_key_value",
  "self_attention.dense",
  "post_attention_layernorm",
  "mlp.dense_h_to_4h",
  "mlp.dense_4h_to_h",
];

/**
 * `model_type` bloom. In the pipeline layout the last layer calls its norm and matrix as the first
 * one does. Files of the hub lack the prefix `transformer.`.
 */
export const bloom: FamilyNames = {
  blockCount: ["n_layer", "num_hidden_layers"],
  embedding: {
    "word_embeddings.weight": "transformer.word_embeddings.weight",
    "word_embeddings_layernorm.weight": "transformer.word_embeddings_layernorm.weight",
    "word_embeddings_layernorm.bias": "transformer.word_embeddings_layernorm.bias",
  },
  block: {
    prefix: "transformer.h.{i}.",
    names: () => [...weights(...PARTS), ...biases(...PARTS)],
  },
  head: {
    "word_embeddings.weight": "lm_head.weight",
    "word_embeddings_layernorm.weight": "transformer.ln_f.weight",
    "word_embeddings_layernorm.bias": "transformer.ln_f.bias",
  },
  headMatrix: "lm_head.weight",
  tiedByDefault: true,
  optionalPrefix: "transformer.",
};
