/** ChatGLM3: llama's block with multi-query groups and half rotary heads. @see arXiv:2406.12793 @module */
import type { Device } from "../tensor/device.ts";
import { swiglu } from "../tensor/ops/activation.ts";
import { add } from "../tensor/ops/add.ts";
import { dropout } from "../tensor/ops/dropout.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { linear } from "../tensor/ops/linear.ts";
import { addRmsNorm, rmsNorm } from "../tensor/ops/norm.ts";
import { makeRopeTable, rope } from "../tensor/ops/rope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { attend, MAX_HEAD_WIDTH, residualOf } from "./attend.ts";
import {
  type ModelConfig,
  readBoolean,
  readDropout,
  readInteger,
  readPositive,
  requireFalse,
  requireMultiple,
  requireValue,
  requireZero,
} from "./config_json.ts";
import { normal, ones, zeros } from "./declare.ts";
import type { Forward, ModelDescription } from "./model.ts";
import { ropeFrequencies } from "./rope_frequencies.ts";

/** config.json does not tell how the published weights were started. */
const STD = 0.02;

/**
 * Describes a chatglm3 model.
 *
 * @param config config.json
 * @throws {ConfigError} On a missing, wrong or unsupported key; the first two generations differ in
 * keys that are checked
 */
export function chatglm(config: ModelConfig): ModelDescription {
  const D = readInteger(config, "hidden_size");
  const F = readInteger(config, "ffn_hidden_size");
  const V = readInteger(config, "padded_vocab_size");
  const L = readInteger(config, "num_layers");
  const H = readInteger(config, "num_attention_heads");
  // without, the rows of query_key_value stand head by head, as no ChatGLM2 or 3 has them
  requireValue(config, "multi_query_attention", true, false);
  const G = readInteger(config, "multi_query_group_num");
  requireMultiple("num_attention_heads", H, G, "multi_query_group_num");
  const K = readInteger(config, "kv_channels", { max: MAX_HEAD_WIDTH });
  requireMultiple("kv_channels", K, 4); // rope turns pairs of half the head
  const eps = readPositive(config, "layernorm_epsilon", 1e-5);
  const qkvBias = readBoolean(config, "add_qkv_bias", false);
  requireValue(config, "rmsnorm", true, true);
  requireValue(config, "post_layer_norm", true, true);
  requireValue(config, "original_rope", true, true);
  requireValue(config, "rope_ratio", 1, 1);
  const drops = {
    hidden: readDropout(config, "hidden_dropout"),
    attention: readDropout(config, "attention_dropout"),
  };
  requireZero(config, "quantization_bit"); // its own code would quantize plain weights
  requireZero(config, "pre_seq_len"); // keys and values that are learned before the prompt
  requireFalse(config, "add_bias_linear");
  requireFalse(config, "apply_residual_connection_post_layernorm");
  requireFalse(config, "tie_word_embeddings");

  const matrix = (name: string, rows: number, columns: number) =>
    normal(`${name}.weight`, rows, columns, STD);
  const norm = (name: string) => ones(`${name}.weight`, D);
  const qkv = "self_attention.query_key_value";
  const rows = (H + 2 * G) * K;
  const block = [
    norm("input_layernorm"),
    matrix(qkv, rows, D),
    ...(qkvBias ? [zeros(`${qkv}.bias`, rows)] : []),
    matrix("self_attention.dense", D, H * K),
    norm("post_attention_layernorm"),
    matrix("mlp.dense_h_to_4h", 2 * F, D),
    matrix("mlp.dense_4h_to_h", D, F),
  ];

  return {
    family: "chatglm",
    vocabSize: V,
    width: D,
    heads: H,
    kvHeads: G,
    headWidth: K,
    maxPositions: readInteger(config, "seq_length", { fallback: 2048 }),
    spanRule: { positions: "row", padding: "sees the row" },
    layers: [
      [matrix("word_embeddings", V, D)],
      ...Array.from({ length: L }, () => block),
      [norm("final_layernorm"), matrix("output_layer", V, D)],
    ],
    forward: (device, positions) => forward(device, positions, { H, G, K, eps, qkvBias, drops }),
  };
}

function forward(
  device: Device,
  positions: number,
  { H, G, K, eps, qkvBias, drops }: {
    H: number;
    G: number;
    K: number;
    eps: number;
    qkvBias: boolean;
    /** Probabilities of what is dropped: of what is added to the residual, of attention's. */
    drops: { hidden: number; attention: number };
  },
): Forward {
  const angles = makeRopeTable(device, ropeFrequencies({}, K / 2), positions);
  return {
    embed: ({ tape, weights, batch }) =>
      embedding(tape, batch.ids, weights.get("word_embeddings.weight")),

    block(run, h) {
      const { tape, weights, batch } = run;
      const output = (name: string, x: Tensor) =>
        dropout(
          tape,
          linear(tape, x, weights.get(`${name}.weight`)),
          run.dropout?.(name, drops.hidden),
        );
      const drop = run.dropout?.("attention", drops.attention);
      const shape = { H, G, K, dropout: drop };
      const x = rmsNorm(tape, h, weights.get("input_layernorm.weight"), eps);
      const bias = qkvBias ? weights.get("self_attention.query_key_value.bias") : undefined;
      const qkv = rope(
        tape,
        linear(tape, x, weights.get("self_attention.query_key_value.weight"), bias),
        batch.positions,
        angles,
        { heads: H + G, K, layout: "adjacent" },
      );
      const o = attend(run, qkv, shape);
      const branch = output("self_attention.dense", o);
      const scale = weights.get("post_attention_layernorm.weight");
      const [a, m] = addRmsNorm(tape, residualOf(run, h), branch, scale, eps);
      const gates = linear(tape, m, weights.get("mlp.dense_h_to_4h.weight"));
      return add(tape, a, output("mlp.dense_4h_to_h", swiglu(tape, gates)));
    },

    head: ({ tape, weights }, h) => ({
      x: rmsNorm(tape, h, weights.get("final_layernorm.weight"), eps),
      w: weights.get("output_layer.weight"),
    }),
  };
}
