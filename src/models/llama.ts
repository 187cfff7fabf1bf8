/** Llama: pre-norm blocks of rotary grouped-query attention and SwiGLU. @see arXiv:2302.13971 @module */
import type { Device } from "../tensor/device.ts";
import { swiglu } from "../tensor/ops/activation.ts";
import { add } from "../tensor/ops/add.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { linear } from "../tensor/ops/linear.ts";
import { addRmsNorm, rmsNorm } from "../tensor/ops/norm.ts";
import { makeRopeTable, rope } from "../tensor/ops/rope.ts";
import type { Initializer, ParameterSpec } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { attend } from "./attend.ts";
import {
  type ModelConfig,
  readBoolean,
  readChoice,
  readDropout,
  readInteger,
  readPositive,
  requireFalse,
  requireMultiple,
} from "./config_json.ts";
import { normal, ones, zeros } from "./declare.ts";
import type { Forward, LayerRun, ModelDescription } from "./model.ts";
import { ropeFrequencies } from "./rope_frequencies.ts";

/** What tells a family from llama. */
export interface LlamaKin {
  /** `model_type` of config.json. */
  family: string;
  /** Whether queries, keys and values have biases. */
  qkvBias?: boolean;
  /** Keys that a token sees at most; undefined for no limit. */
  window?: number | undefined;
  /** What follows the attention in a block; undefined for the MLP of llama. */
  mlp?: (sizes: MlpSizes) => Mlp;
}

/** What an MLP is made of. */
export interface MlpSizes {
  /** Width of the hidden states. */
  D: number;
  /** Width inside. */
  F: number;
  /** Declares a matrix that starts as normal numbers. */
  matrix(name: string, rows: number, columns: number): ParameterSpec;
}

/** The MLP of a block. */
export interface Mlp {
  /** What it declares. */
  parameters: readonly ParameterSpec[];
  /** [N, D] to [N, D]. */
  forward(run: LayerRun, x: Tensor): Tensor;
}

/**
 * Describes a llama model.
 *
 * @param config config.json; keys as in transformers 4 or 5
 * @throws {ConfigError} On a missing, wrong or unsupported key
 */
export function llama(config: ModelConfig): ModelDescription {
  return llamaLike(config, { family: "llama" });
}

/**
 * Describes a model with the maths of llama.
 *
 * @param config config.json with the keys of llama
 * @throws {ConfigError} On a missing, wrong or unsupported key
 */
export function llamaLike(
  config: ModelConfig,
  { family, qkvBias = false, window, mlp: mlpOf = swigluMlp }: LlamaKin,
): ModelDescription {
  const D = readInteger(config, "hidden_size");
  const F = readInteger(config, "intermediate_size");
  const V = readInteger(config, "vocab_size");
  const L = readInteger(config, "num_hidden_layers");
  const H = readInteger(config, "num_attention_heads");
  const G = readInteger(config, "num_key_value_heads", { fallback: H });
  requireMultiple("num_attention_heads", H, G, "num_key_value_heads");
  if ((config.head_dim ?? undefined) === undefined) {
    requireMultiple("hidden_size", D, H, "num_attention_heads");
  }
  const K = readInteger(config, "head_dim", { fallback: D / H });
  requireMultiple("head_dim", K, 2); // rope turns pairs
  const eps = readPositive(config, "rms_norm_eps", 1e-6);
  const std = readPositive(config, "initializer_range", 0.02);
  const tied = readBoolean(config, "tie_word_embeddings", false);
  const paddingId = readInteger(config, "pad_token_id", { min: -1, fallback: -1 });
  readChoice(config, "hidden_act", ["silu"], "silu");
  requireFalse(config, "attention_bias");
  requireFalse(config, "mlp_bias");
  const attentionDropout = readDropout(config, "attention_dropout");
  const frequencies = ropeFrequencies(config, K);

  const matrix = (name: string, rows: number, columns: number) => normal(name, rows, columns, std);
  const norm = (name: string) => ones(name, D);
  const table = (init: Initializer): ParameterSpec => ({
    name: "embed_tokens.weight",
    shape: [V, D],
    init,
    ...(tied ? { tied: "embed" } : {}),
  });
  const mlp = mlpOf({ D, F, matrix });
  const block = [
    norm("input_layernorm.weight"),
    matrix("self_attn.q_proj.weight", H * K, D),
    matrix("self_attn.k_proj.weight", G * K, D),
    matrix("self_attn.v_proj.weight", G * K, D),
    ...(qkvBias
      ? [
        zeros("self_attn.q_proj.bias", H * K),
        zeros("self_attn.k_proj.bias", G * K),
        zeros("self_attn.v_proj.bias", G * K),
      ]
      : []),
    matrix("self_attn.o_proj.weight", D, H * K),
    norm("post_attention_layernorm.weight"),
    ...mlp.parameters,
  ];
  const start: Initializer = { kind: "normal", std };
  const embed = table(paddingId >= 0 ? { ...start, zeroRow: paddingId } : start);

  return {
    family,
    vocabSize: V,
    width: D,
    heads: H,
    kvHeads: G,
    headWidth: K,
    maxPositions: readInteger(config, "max_position_embeddings", { fallback: 2048 }),
    ...(window === undefined ? {} : { spanRule: { window } }),
    layers: [
      [embed],
      ...Array.from({ length: L }, () => block),
      [norm("norm.weight"), tied ? embed : table(start)],
    ],
    forward: (device, positions) =>
      forward(device, positions, frequencies, {
        H,
        G,
        K,
        eps,
        paddingId,
        qkvBias,
        mlp,
        attentionDropout,
      }),
  };
}

function swigluMlp({ D, F, matrix }: MlpSizes): Mlp {
  return {
    parameters: [
      matrix("mlp.gate_proj.weight", F, D),
      matrix("mlp.up_proj.weight", F, D),
      matrix("mlp.down_proj.weight", D, F),
    ],
    forward({ tape, weights }, x) {
      const up = weights.fused("mlp.gate_proj.weight", "mlp.up_proj.weight");
      const gates = linear(tape, x, up);
      return linear(tape, swiglu(tape, gates), weights.get("mlp.down_proj.weight"));
    },
  };
}

function forward(
  device: Device,
  positions: number,
  frequencies: Float32Array,
  { H, G, K, eps, paddingId, qkvBias, mlp, attentionDropout }: {
    H: number;
    G: number;
    K: number;
    eps: number;
    paddingId: number;
    qkvBias: boolean;
    mlp: Mlp;
    attentionDropout: number;
  },
): Forward {
  const angles = makeRopeTable(device, frequencies, positions);
  return {
    embed: ({ tape, weights, batch }) =>
      embedding(tape, batch.ids, weights.get("embed_tokens.weight"), paddingId),

    block(run, h) {
      const { tape, weights, batch } = run;
      const dropout = run.dropout?.("attention", attentionDropout);
      const shape = { H, G, K, dropout };
      const x = rmsNorm(tape, h, weights.get("input_layernorm.weight"), eps);
      const projections = ["q", "k", "v"].map((name) => `self_attn.${name}_proj`);
      const fused = (kind: string) => weights.fused(...projections.map((name) => name + kind));
      const qkv = rope(
        tape,
        linear(tape, x, fused(".weight"), qkvBias ? fused(".bias") : undefined),
        batch.positions,
        angles,
        { heads: H + G, K, layout: "half" },
      );
      const o = attend(run, qkv, shape);
      const branch = linear(tape, o, weights.get("self_attn.o_proj.weight"));
      const scale = weights.get("post_attention_layernorm.weight");
      const [a, m] = addRmsNorm(tape, h, branch, scale, eps);
      return add(tape, a, mlp.forward(run, m));
    },

    head: ({ tape, weights }, h) => ({
      x: rmsNorm(tape, h, weights.get("norm.weight"), eps),
      w: weights.get("embed_tokens.weight"),
    }),
  };
}
