/** Tensor names of chatglm. @module */
import { biases, type FamilyNames, weights } from "./family_names.ts";

const QKV = "self_attention.query_key_value";
const OTHERS = ["self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"];

/** `model_type` chatglm (ChatGLM3). Its rotary frequencies are kept, as its own code reads them. */
export const chatglm: FamilyNames = {
  blockCount: ["num_layers"],
  embedding: { "word_embeddings.weight": "transformer.embedding.word_embeddings.weight" },
  block: {
    prefix: "transformer.encoder.layers.{i}.",
    names: ({ isSet }) => [
      ...weights("input_layernorm", "post_attention_layernorm", QKV, ...OTHERS),
      ...(isSet("add_qkv_bias") || isSet("add_bias_linear") ? biases(QKV) : []),
      ...(isSet("add_bias_linear") ? biases(...OTHERS) : []),
    ],
    shared: { "rotary_pos_emb.inv_freq": "transformer.rotary_pos_emb.inv_freq" },
  },
  head: {
    "output_layer.weight": "transformer.output_layer.weight",
    "final_layernorm.weight": "transformer.encoder.final_layernorm.weight",
  },
  headMatrix: "transformer.output_layer.weight",
  tiedByDefault: false,
};
