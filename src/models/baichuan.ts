/** Baichuan 2: llama's block, and a head whose rows have length 1. @see arXiv:2309.10305 @module */
import { ConfigError } from "../config/config_error.ts";
import { add } from "../tensor/ops/add.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { linear } from "../tensor/ops/linear.ts";
import { addRmsNorm, normalizeRows, rmsNorm } from "../tensor/ops/norm.ts";
import { makeRopeTable, rope, type RopeTable } from "../tensor/ops/rope.ts";
import type { ParameterSpec } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { uploadSlopes } from "./alibi.ts";
import { attend, MAX_HEAD_WIDTH, residualOf } from "./attend.ts";
import {
  type ModelConfig,
  readChoice,
  readInteger,
  readNotNegative,
  readPaddingId,
  readPositive,
  requireAtMost,
  requireFalse,
  requireMultiple,
} from "./config_json.ts";
import { normal, ones } from "./declare.ts";
import type { Forward, ModelDescription } from "./model.ts";
import { ropeFrequencies } from "./rope_frequencies.ts";
import { type Mlp, swigluMlp } from "./swiglu_mlp.ts";

/** Shortest row of the head that is normalised, as in torch.nn.functional.normalize. */
const HEAD_EPS = 1e-12;

/** Words of both models of the first generation, which have another head. */
const FIRST_VOCABULARY = 64000;

/**
 * Describes a Baichuan 2 model: rotary positions with `max_position_embeddings`, as the 7B one has;
 * without, linear biases, as the 13B one. The head is stored as it is trained; each forward pass
 * normalises it.
 *
 * @param config config.json
 * @throws {ConfigError} On a missing, wrong or unsupported key, or a model of the first generation
 */
export function baichuan(config: ModelConfig): ModelDescription {
  requireSecondGeneration(config);
  const D = readInteger(config, "hidden_size");
  const F = readInteger(config, "intermediate_size");
  const V = readInteger(config, "vocab_size");
  const L = readInteger(config, "num_hidden_layers");
  const H = readInteger(config, "num_attention_heads");
  requireMultiple("hidden_size", D, H, "num_attention_heads");
  const K = D / H;
  requireAtMost("hidden_size / num_attention_heads", K, MAX_HEAD_WIDTH);
  const isRotary = (config.max_position_embeddings ?? undefined) !== undefined;
  if (isRotary) requireMultiple("hidden_size / num_attention_heads", K, 2); // rope turns pairs
  else readInteger(config, "model_max_length");
  const frequencies = isRotary ? ropeFrequencies(config, K) : undefined;
  const eps = readPositive(config, "rms_norm_eps", 1e-6);
  const std = readPositive(config, "initializer_range", 0.02);
  const paddingId = readPaddingId(config, V);
  readChoice(config, "hidden_act", ["silu", "swish"], "silu"); // two names of one function
  requireFalse(config, "tie_word_embeddings");
  const topWeight = readNotNegative(config, "z_loss_weight", 0);

  const matrix = (name: string, rows: number, columns: number) =>
    normal(`${name}.weight`, rows, columns, std);
  const norm = (name: string) => ones(`${name}.weight`, D);
  const table: ParameterSpec = {
    name: "embed_tokens.weight",
    shape: [V, D],
    init: { kind: "normal", std, ...(paddingId >= 0 ? { zeroRow: paddingId } : {}) },
  };
  const mlp = swigluMlp({ D, F, std, bias: false });
  const block = [
    norm("input_layernorm"),
    matrix("self_attn.W_pack", 3 * D, D),
    matrix("self_attn.o_proj", D, D),
    norm("post_attention_layernorm"),
    ...mlp.parameters,
  ];

  return {
    family: "baichuan",
    vocabSize: V,
    width: D,
    heads: H,
    kvHeads: H,
    headWidth: K,
    // ALiBi has no longest sequence
    maxPositions: isRotary ? readInteger(config, "max_position_embeddings") : undefined,
    spanRule: { positions: "row" },
    ...(topWeight > 0 ? { topWeight } : {}),
    layers: [
      [table],
      ...Array.from({ length: L }, () => block),
      [norm("norm"), matrix("lm_head", V, D)],
    ],
    forward: (device, positions) =>
      forward(
        frequencies
          ? { angles: makeRopeTable(device, frequencies, positions) }
          : { slopes: uploadSlopes(device, H) },
        { H, K, eps, paddingId, mlp },
      ),
  };
}

/** Refuses what has the same `model_type` and tensor names but a head that is not normalised. */
function requireSecondGeneration(config: ModelConfig): void {
  const [name] = [config.architectures].flat();
  if (name === "BaiChuanForCausalLM") {
    throw new ConfigError(
      'Cannot read config.json as architectures must be ["BaichuanForCausalLM"] of Baichuan 2: ' +
        "current value is that of the first generation, which is not supported",
    );
  }
  if (config.vocab_size === FIRST_VOCABULARY) {
    throw new ConfigError(
      `Cannot read config.json as vocab_size must be that of Baichuan 2: ${FIRST_VOCABULARY} is ` +
        "that of the first generation, which is not supported",
    );
  }
}

function forward(
  /** How a token knows where it is: turned by angles, or biased by distance. */
  { angles, slopes }: { angles?: RopeTable; slopes?: Tensor },
  { H, K, eps, paddingId, mlp }: { H: number; K: number; eps: number; paddingId: number; mlp: Mlp },
): Forward {
  return {
    embed: ({ tape, weights, batch }) =>
      embedding(tape, batch.ids, weights.get("embed_tokens.weight"), paddingId),

    block(run, h) {
      const { tape, weights, batch } = run;
      const shape = { H, G: H, K, ...(slopes ? { slopes } : {}) };
      const x = rmsNorm(tape, h, weights.get("input_layernorm.weight"), eps);
      const packed = linear(tape, x, weights.get("self_attn.W_pack.weight"));
      const qkv = angles
        ? rope(tape, packed, batch.positions, angles, { heads: 2 * H, K, layout: "half" })
        : packed;
      const o = attend(run, qkv, shape);
      const branch = linear(tape, o, weights.get("self_attn.o_proj.weight"));
      const scale = weights.get("post_attention_layernorm.weight");
      const [a, m] = addRmsNorm(tape, residualOf(run, h), branch, scale, eps);
      return add(tape, a, mlp.forward(run, m));
    },

    head: ({ tape, weights }, h) => ({
      x: rmsNorm(tape, h, weights.get("norm.weight"), eps),
      w: normalizeRows(tape, weights.get("lm_head.weight"), HEAD_EPS),
    }),
  };
}
