/**
 * A model of every family whose sizes make the CUDA kernels leave their easy paths: heads as wide as
 * tensor cores take them (64, 80, 96 and 128), samples longer than a tile of 64 queries, rows of the
 * vocabulary that are no multiple of 16 bytes, which cuBLASLt refuses and our own product takes.
 * @module
 */
import { join } from "@std/path";
import { layerFileName } from "../../src/checkpoint/layer_file.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { describeModel } from "../../src/models/registry.ts";
import type { ParameterSpec } from "../../src/tensor/parameter.ts";
import { streamSeed } from "../../src/tensor/stream_seed.ts";
import { normal } from "../ops/check_op.ts";
import { ROOT } from "../train/run_training.ts";

/** Longest sample, more than one tile. */
export const S = 70;

/** Rows of the vocabulary. */
export const V = 100;

/** Spread of matrices: attention is not flat, and the router has favourites. */
const MATRIX_STD = 0.08;

/** Spread of norms around 1 and of biases around 0. */
const VECTOR_STD = 0.2;

/** What differs from the config.json of tests/fixtures/models. */
export interface ParityModel {
  /** Title in tests. */
  name: string;
  /** Fixture whose config.json is taken. */
  from: string;
  /** Keys of config.json that are changed; undefined removes one. */
  changes: Record<string, unknown>;
}

/** Keys that families like llama share. */
const LLAMA = { vocab_size: V, num_hidden_layers: 2, max_position_embeddings: 128 };

/** One of each family, with what makes it special. */
export const PARITY_MODELS: readonly ParityModel[] = [
  {
    name: "llama", // plain
    from: "llama/hf_fp32",
    changes: {
      ...{ ...LLAMA, hidden_size: 128, intermediate_size: 72, head_dim: 64 },
      ...{ num_attention_heads: 2, num_key_value_heads: 2 },
    },
  },
  {
    name: "mistral", // a sliding window shorter than the sample, groups of two
    from: "mistral/hf",
    changes: {
      ...{ ...LLAMA, hidden_size: 64, intermediate_size: 48, head_dim: 80, sliding_window: 40 },
      ...{ num_attention_heads: 2, num_key_value_heads: 1 },
    },
  },
  {
    name: "mixtral", // experts, the load-balancing loss
    from: "mixtral_aux/hf",
    changes: {
      ...{ ...LLAMA, hidden_size: 64, intermediate_size: 40, head_dim: 64, sliding_window: null },
      ...{ num_attention_heads: 2, num_key_value_heads: 2 },
    },
  },
  {
    name: "qwen2", // biases of queries, keys and values, groups of two
    from: "qwen2/hf",
    changes: {
      ...{ ...LLAMA, hidden_size: 192, intermediate_size: 56 },
      ...{ num_attention_heads: 2, num_key_value_heads: 1 },
    },
  },
  {
    name: "bloom", // ALiBi, LayerNorm, gelu, tied embeddings
    from: "bloom/hf",
    changes: { hidden_size: 128, n_head: 2, n_layer: 2, vocab_size: V },
  },
  {
    name: "chatglm3", // half of each head is turned, a prefix is seen from everywhere
    from: "chatglm3/hf",
    changes: {
      ...{ hidden_size: 128, ffn_hidden_size: 64, num_layers: 2, padded_vocab_size: V },
      ...{ num_attention_heads: 2, kv_channels: 128, multi_query_group_num: 1 },
    },
  },
  {
    name: "baichuan2-7b", // rotary, a head whose rows have length 1
    from: "baichuan2/hf",
    changes: {
      ...{ ...LLAMA, hidden_size: 128, intermediate_size: 64 },
      ...{ num_attention_heads: 2 },
    },
  },
  {
    name: "baichuan2-13b", // ALiBi, a loss of its own
    from: "baichuan2_13b/hf",
    changes: {
      ...{ hidden_size: 160, intermediate_size: 48, num_hidden_layers: 2, vocab_size: V },
      ...{ num_attention_heads: 2, z_loss_weight: 1e-3 },
    },
  },
];

/** Writes a model directory in pipeline layout with f32 weights, the same whenever it is called. */
export function writeModel({ from, changes }: ParityModel, dir: string): void {
  const path = join(ROOT, "tests/fixtures/models", from, "config.json");
  const config = { ...JSON.parse(Deno.readTextFileSync(path)), ...changes };
  Deno.mkdirSync(dir, { recursive: true });
  Deno.writeTextFileSync(join(dir, "config.json"), JSON.stringify(config));
  describeModel(config).layers.forEach((specs, layer) =>
    writeSafetensors(
      join(dir, layerFileName(layer)),
      specs.map((spec) => ({
        name: spec.name,
        dtype: "F32" as const,
        shape: [...spec.shape],
        chunks: () => [new Uint8Array(valuesOf(spec, layer).buffer)],
      })),
    )
  );
}

/** Normal numbers around where the parameter would start from scratch. */
function valuesOf(
  { name, shape, init, tied }: ParameterSpec,
  layer: number,
): Float32Array<ArrayBuffer> {
  const next = normal(Number(streamSeed(1, tied ?? `${layer}.${name}`) & 0xffffffn));
  const mean = init.kind === "ones" ? 1 : 0;
  const std = init.kind === "normal" ? MATRIX_STD : VECTOR_STD;
  const size = shape.reduce((product, n) => product * n, 1);
  return Float32Array.from({ length: size }, () => mean + std * next());
}

/** Tokens of samples of these lengths, none of them special. */
export function tokensOf(lengths: readonly number[]): number[][] {
  return lengths.map((length, i) =>
    Array.from({ length }, (_, t) => 4 + (11 * i + 5 * t * t + 3 * t) % (V - 4))
  );
}
