/** Bloom: pre-norm blocks of ALiBi attention and a gelu MLP. @see arXiv:2211.05100 @module */
import type { Device } from "../tensor/device.ts";
import { gelu } from "../tensor/ops/activation.ts";
import { add } from "../tensor/ops/add.ts";
import { dropout } from "../tensor/ops/dropout.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { linear } from "../tensor/ops/linear.ts";
import { addLayerNorm, layerNorm } from "../tensor/ops/norm.ts";
import { splitHeads } from "../tensor/ops/split_heads.ts";
import type { ParameterSpec } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { uploadSlopes } from "./alibi.ts";
import { attend, MAX_HEAD_WIDTH, residualOf } from "./attend.ts";
import {
  chooseSpelling,
  type ModelConfig,
  readBoolean,
  readDropout,
  readInteger,
  readPositive,
  requireAtMost,
  requireFalse,
  requireMultiple,
} from "./config_json.ts";
import { normal, ones, zeros } from "./declare.ts";
import type { Forward, LayerRun, ModelDescription } from "./model.ts";

/**
 * Describes a bloom model.
 *
 * @param config config.json; keys as transformers writes them or as the files of the hub have them
 * @throws {ConfigError} On a missing, wrong or unsupported key
 */
export function bloom(config: ModelConfig): ModelDescription {
  const headsKey = chooseSpelling(config, "n_head", "num_attention_heads");
  const widthKey = chooseSpelling(config, "hidden_size", "n_embed");
  const D = readInteger(config, widthKey);
  const V = readInteger(config, "vocab_size");
  const L = readInteger(config, chooseSpelling(config, "n_layer", "num_hidden_layers"));
  const H = readInteger(config, headsKey);
  requireMultiple(widthKey, D, H, headsKey);
  requireAtMost(`${widthKey} / ${headsKey}`, D / H, MAX_HEAD_WIDTH);
  const eps = readPositive(config, "layer_norm_epsilon", 1e-5);
  const std = readPositive(config, "initializer_range", 0.02);
  const tied = readBoolean(config, "tie_word_embeddings", true);
  const normalizedResidual = readBoolean(
    config,
    "apply_residual_connection_post_layernorm",
    false,
  );
  if (readInteger(config, "pretraining_tp", { fallback: 1 }) > 1) {
    requireFalse(config, "slow_but_exact"); // transformers then leaves two biases out
  }
  const drops = {
    hidden: readDropout(config, "hidden_dropout"),
    attention: readDropout(config, "attention_dropout"),
  };

  const norm = (name: string): ParameterSpec[] => [
    ones(`${name}.weight`, D),
    zeros(`${name}.bias`, D),
  ];
  const matrix = (name: string, rows: number, columns: number): ParameterSpec[] => [
    normal(`${name}.weight`, rows, columns, std),
    zeros(`${name}.bias`, rows),
  ];
  const table: ParameterSpec = {
    ...normal("word_embeddings.weight", V, D, std),
    ...(tied ? { tied: "embed" } : {}),
  };
  const block = [
    ...norm("input_layernorm"),
    ...matrix("self_attention.query_key_value", 3 * D, D),
    ...matrix("self_attention.dense", D, D),
    ...norm("post_attention_layernorm"),
    ...matrix("mlp.dense_h_to_4h", 4 * D, D),
    ...matrix("mlp.dense_4h_to_h", D, 4 * D),
  ];
  const end = [table, ...norm("word_embeddings_layernorm")]; // in the last layer: the final norm

  return {
    family: "bloom",
    vocabSize: V,
    width: D,
    heads: H,
    kvHeads: H,
    headWidth: D / H,
    maxPositions: undefined, // ALiBi has no longest sequence
    layers: [end, ...Array.from({ length: L }, () => block), end],
    forward: (device) => forward(device, { H, K: D / H, eps, normalizedResidual, drops }),
  };
}

function forward(
  device: Device,
  { H, K, eps, normalizedResidual, drops }: {
    H: number;
    K: number;
    eps: number;
    /** Whether what a layer is added to is its normalised input, not its input. */
    normalizedResidual: boolean;
    /** Probabilities of what is dropped: of what is added to the residual, of attention's. */
    drops: { hidden: number; attention: number };
  },
): Forward {
  const slopes = uploadSlopes(device, H);
  const norm = ({ tape, weights }: LayerRun, name: string, x: Tensor) =>
    layerNorm(tape, x, weights.get(`${name}.weight`), weights.get(`${name}.bias`), eps);
  const addNorm = ({ tape, weights }: LayerRun, name: string, h: Tensor, x: Tensor) =>
    addLayerNorm(tape, h, x, weights.get(`${name}.weight`), weights.get(`${name}.bias`), eps);
  const dense = ({ tape, weights }: LayerRun, name: string, x: Tensor) =>
    linear(tape, x, weights.get(`${name}.weight`), weights.get(`${name}.bias`));
  const output = (run: LayerRun, name: string, x: Tensor) =>
    dropout(run.tape, dense(run, name, x), run.dropout?.(name, drops.hidden));
  return {
    embed(run) {
      const rows = embedding(run.tape, run.batch.ids, run.weights.get("word_embeddings.weight"));
      return norm(run, "word_embeddings_layernorm", rows);
    },

    block(run, h) {
      const { tape } = run;
      const drop = run.dropout?.("attention", drops.attention);
      const shape = { H, G: H, K, slopes, layout: "blocks" as const, dropout: drop };
      const x = norm(run, "input_layernorm", h);
      const qkv = splitHeads(tape, dense(run, "self_attention.query_key_value", x), { H, K });
      const o = attend(run, qkv, shape);
      const branch = output(run, "self_attention.dense", o);
      const residual = residualOf(run, normalizedResidual ? x : h);
      const [a, m] = addNorm(run, "post_attention_layernorm", residual, branch);
      const hidden = gelu(tape, dense(run, "mlp.dense_h_to_4h", m));
      return add(tape, normalizedResidual ? m : a, output(run, "mlp.dense_4h_to_h", hidden));
    },

    head: (run, h) => ({
      x: norm(run, "word_embeddings_layernorm", h),
      w: run.weights.get("word_embeddings.weight"),
    }),
  };
}
