/** Llama: pre-norm blocks of rotary grouped-query attention and SwiGLU. @see arXiv:2302.13971 @module */
import type { Device } from "../tensor/device.ts";
import { add } from "../tensor/ops/add.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { addRmsNorm, rmsNorm } from "../tensor/ops/norm.ts";
import { makeRopeTable, rope } from "../tensor/ops/rope.ts";
import type { Initializer, ParameterSpec } from "../tensor/parameter.ts";
import { attend, MAX_HEAD_WIDTH, residualOf } from "./attend.ts";
import {
  type ModelConfig,
  readBoolean,
  readChoice,
  readDropout,
  readInteger,
  readPaddingId,
  readPositive,
  requireFalse,
  requireMultiple,
} from "./config_json.ts";
import { ones } from "./declare.ts";
import type { Forward, ModelDescription } from "./model.ts";
import { Projection } from "./projection.ts";
import { ropeFrequencies } from "./rope_frequencies.ts";
import { type Mlp, type MlpSizes, swigluMlp } from "./swiglu_mlp.ts";

/** What tells a family from llama. */
export interface LlamaKin {
  /** `model_type` of config.json. */
  family: string;
  /** Whether config.json may ask for biases; a family that has no such keys refuses them. */
  choosesBiases?: boolean;
  /** Whether queries, keys and values have biases whatever config.json says. */
  qkvBias?: boolean;
  /** Keys that a token sees at most; undefined for no limit. */
  window?: number | undefined;
  /** What follows the attention in a block; undefined for the MLP of llama. */
  mlp?: (sizes: MlpSizes) => Mlp;
}

/**
 * Describes a llama model.
 *
 * @param config config.json; keys as in transformers 4 or 5
 * @throws {ConfigError} On a missing, wrong or unsupported key
 */
export function llama(config: ModelConfig): ModelDescription {
  return llamaLike(config, { family: "llama", choosesBiases: true });
}

/**
 * Describes a model with the maths of llama.
 *
 * @param config config.json with the keys of llama
 * @throws {ConfigError} On a missing, wrong or unsupported key
 */
export function llamaLike(
  config: ModelConfig,
  { family, choosesBiases = false, qkvBias = false, window, mlp: mlpOf }: LlamaKin,
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
  const K = readInteger(config, "head_dim", { fallback: D / H, max: MAX_HEAD_WIDTH });
  requireMultiple("head_dim", K, 2); // rope turns pairs
  const eps = readPositive(config, "rms_norm_eps", 1e-6);
  const std = readPositive(config, "initializer_range", 0.02);
  const tied = readBoolean(config, "tie_word_embeddings", false);
  const paddingId = readPaddingId(config, V);
  readChoice(config, "hidden_act", ["silu", "swish"], "silu"); // two names of one function
  if (!choosesBiases) {
    for (const key of ["attention_bias", "mlp_bias"]) {
      requireFalse(config, key);
    }
  }
  const attentionBias = readBoolean(config, "attention_bias", false);
  const mlpBias = readBoolean(config, "mlp_bias", false);
  const attentionDropout = readDropout(config, "attention_dropout");
  const frequencies = ropeFrequencies(config, K);

  const norm = (name: string) => ones(name, D);
  const table = (init: Initializer): ParameterSpec => ({
    name: "embed_tokens.weight",
    shape: [V, D],
    init,
    ...(tied ? { tied: "embed" } : {}),
  });
  const mlp = mlpOf?.({ D, F, std }) ?? swigluMlp({ D, F, std, bias: mlpBias });
  const qkv = new Projection(
    { "self_attn.q_proj": H * K, "self_attn.k_proj": G * K, "self_attn.v_proj": G * K },
    D,
    { std, bias: qkvBias || attentionBias },
  );
  const output = new Projection({ "self_attn.o_proj": D }, H * K, { std, bias: attentionBias });
  const block = [
    norm("input_layernorm.weight"),
    ...qkv.parameters,
    ...output.parameters,
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
        qkv,
        output,
        mlp,
        attentionDropout,
      }),
  };
}

function forward(
  device: Device,
  positions: number,
  frequencies: Float32Array,
  { H, G, K, eps, paddingId, qkv, output, mlp, attentionDropout }: {
    H: number;
    G: number;
    K: number;
    eps: number;
    paddingId: number;
    qkv: Projection;
    output: Projection;
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
      const turned = rope(
        tape,
        qkv.forward(run, x),
        batch.positions,
        angles,
        { heads: H + G, K, layout: "half" },
      );
      const branch = output.forward(run, attend(run, turned, shape));
      const scale = weights.get("post_attention_layernorm.weight");
      const [a, m] = addRmsNorm(tape, residualOf(run, h), branch, scale, eps);
      return add(tape, a, mlp.forward(run, m));
    },

    head: ({ tape, weights }, h) => ({
      x: rmsNorm(tape, h, weights.get("norm.weight"), eps),
      w: weights.get("embed_tokens.weight"),
    }),
  };
}
