/** What a config.json can ask for and is not done is refused by name, never ignored. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { ConfigError } from "../../src/config/config_error.ts";
import { describeModel } from "../../src/models/registry.ts";
import { ropeFrequencies } from "../../src/models/rope_frequencies.ts";
import { ROOT } from "../train/run_training.ts";

const CASES: [model: string, changes: Record<string, unknown>, message: string][] = [
  ["llama_gqa/hf", { attention_dropout: 1 }, "attention_dropout must be a number in [0, 1)"],
  ["llama_gqa/hf", { rope_scaling: { type: "yarn", factor: 2 } }, 'type must be "default" or'],
  ["baichuan2/hf", { rope_scaling: { type: "dynamic" } }, 'type must be "default" or'],
  ["bloom/hf", { hidden_dropout: -0.1 }, "hidden_dropout must be a number in [0, 1)"],
  ["bloom/hf", { attention_dropout: 1 }, "attention_dropout must be a number in [0, 1)"],
  ["bloom/hf", { n_head: 5 }, "hidden_size must be a multiple of n_head = 5"],
  ["bloom/hf", { num_attention_heads: 3 }, "num_attention_heads must be 4 like n_head"],
  ["bloom/hf", { pretraining_tp: 2, slow_but_exact: true }, "slow_but_exact must be false"],
  ["qwen2/hf", { use_sliding_window: true }, "use_sliding_window must be false"],
  ["qwen2/hf", { mlp_bias: true }, "mlp_bias must be false"],
  ["mistral/hf", { attention_bias: true }, "attention_bias must be false"],
  ["mistral/hf", { sliding_window: 0 }, "sliding_window must be an integer of at least 1"],
  ["chatglm3/hf", { rope_ratio: 50 }, "rope_ratio must be 1"],
  ["chatglm3/hf", { multi_query_attention: false }, "multi_query_attention must be true"],
  ["chatglm3/hf", { rmsnorm: false }, "rmsnorm must be true"],
  ["chatglm3/hf", { add_bias_linear: true }, "add_bias_linear must be false"],
  ["chatglm3/hf", { quantization_bit: 8 }, "quantization_bit must be 0"],
  ["chatglm3/hf", { pre_seq_len: 128 }, "pre_seq_len must be 0"],
  ["chatglm3/hf", { hidden_dropout: -0.1 }, "hidden_dropout must be a number in [0, 1)"],
  ["llama_gqa/hf", { quantization_config: { quant_method: "gptq" } }, 'quant_method is "gptq" (if'],
  [
    "llama_gqa/hf",
    { quantization_config: {} },
    "quantization_config must be absent: current quant",
  ],
  ["llama_gqa/hf", { quantization_config: "int8" }, "current quant_method is missing"],
  [
    "llama_gqa/hf",
    { quantization_config: { quant_method: "bitsandbytes", load_in_4bit: true } },
    'current quant_method is "bitsandbytes"',
  ],
  ["llama_gqa/hf", { head_dim: 258 }, "head_dim must be an integer from 1 to 256"],
  ["llama_gqa/hf", { pad_token_id: 400 }, "pad_token_id must be an integer from -1 to 399"],
  ["bloom/hf", { pad_token_id: 1e4 }, "pad_token_id must be an integer from -1 to"],
  ["bloom/hf", { hidden_size: 257, n_head: 1 }, "hidden_size / n_head must be at most 256"],
  ["chatglm3/hf", { kv_channels: 260 }, "kv_channels must be an integer from 1 to 256"],
  [
    "baichuan2/hf",
    { hidden_size: 258, num_attention_heads: 1 },
    "hidden_size / num_attention_heads must be at most 256",
  ],
  ["baichuan2/hf", { z_loss_weight: -1e-4 }, "z_loss_weight must be a number of at least 0"],
  [
    "baichuan2/hf",
    { max_position_embeddings: undefined, model_max_length: undefined },
    "model_max_length must be an integer",
  ],
  ["baichuan2_13b/hf", { vocab_size: 64000 }, "first generation"],
  ["baichuan2/hf", { architectures: ["BaiChuanForCausalLM"] }, "first generation"],
];

for (const [model, changes, message] of CASES) {
  Deno.test(`${model} with ${JSON.stringify(changes)} is refused`, () => {
    const path = join(ROOT, "tests/fixtures/models", model, "config.json");
    const config = JSON.parse(Deno.readTextFileSync(path));
    describeModel(config);
    const error = assertThrows(() => describeModel({ ...config, ...changes }), ConfigError);
    assertStringIncludes(error.message, message);
  });
}

Deno.test("quantization_config that leaves plain weights as they are is accepted", () => {
  const path = join(ROOT, "tests/fixtures/models/llama_gqa/hf/config.json");
  const config = JSON.parse(Deno.readTextFileSync(path));
  const nothing = { quant_method: "bitsandbytes", load_in_8bit: false, load_in_4bit: false };
  for (const quantization_config of [null, nothing]) {
    assertEquals(describeModel({ ...config, quantization_config }).family, "llama");
  }
});

Deno.test("what rope_parameters leaves out is read beside it, as transformers does", () => {
  const config = { max_position_embeddings: 64, rope_theta: 5000 };
  const scaled = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
  const whole = { ...scaled, rope_theta: 5000, original_max_position_embeddings: 64 };
  assertEquals(
    ropeFrequencies({ ...config, rope_parameters: scaled }, 16),
    ropeFrequencies({ rope_parameters: whole }, 16),
  );
  const partial = { ...config, rope_parameters: { partial_rotary_factor: 0.5 } };
  const error = assertThrows(() => ropeFrequencies(partial, 16), ConfigError);
  assertStringIncludes(error.message, "partial_rotary_factor must be 1");
});
