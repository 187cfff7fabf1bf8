/** Keys of config.json that may be absent, or say a thing twice, mean what they mean to transformers. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { describeModel } from "../../src/models/registry.ts";
import { ropeFrequencies } from "../../src/models/rope_frequencies.ts";
import { ROOT } from "../train/run_training.ts";

function readConfig(model: string) {
  const path = join(ROOT, "tests/fixtures/models", model, "config.json");
  return JSON.parse(Deno.readTextFileSync(path));
}

Deno.test("of rope_scaling and rope_parameters the first counts, as in transformers", () => {
  const rope_parameters = { rope_type: "linear", factor: 4, rope_theta: 500 };
  const rope_scaling = { type: "linear", factor: 2 };
  const both = { rope_theta: 700, rope_scaling, rope_parameters };
  assertEquals(ropeFrequencies(both, 8), ropeFrequencies({ rope_theta: 700, rope_scaling }, 8));
  for (const none of [null, {}]) {
    const config = { ...both, rope_scaling: none };
    assertEquals(ropeFrequencies(config, 8), ropeFrequencies({ rope_parameters }, 8));
  }
});

Deno.test("the original length beside rope_scaling counts before the one inside", () => {
  const llama3 = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
  const rope = (inside: number, beside?: number) =>
    ropeFrequencies({
      rope_scaling: { ...llama3, original_max_position_embeddings: inside },
      original_max_position_embeddings: beside,
    }, 32);
  assertEquals(rope(64, 16), rope(16));
});

Deno.test("pad_token_id -1 is the last row of the embedding, as torch has it", () => {
  for (const model of ["llama_gqa/hf", "baichuan2/hf"]) {
    const config = readConfig(model);
    const { init } = describeModel({ ...config, pad_token_id: -1 }).layers[0][0];
    assertEquals(init.kind === "normal" && init.zeroRow, config.vocab_size - 1, model);
  }
});

Deno.test("qwen2 without num_key_value_heads has 32 of them, as transformers does", () => {
  const { num_key_value_heads: _, ...config } = readConfig("qwen2/hf");
  const wide = { ...config, num_attention_heads: 64, hidden_size: 128 };
  assertEquals(describeModel(wide).kvHeads, 32);
});

Deno.test("hidden_act swish is silu by another name", () => {
  for (const model of ["llama_gqa/hf", "baichuan2/hf"]) {
    assertEquals(
      describeModel({ ...readConfig(model), hidden_act: "swish" }).family,
      model.split(/[_2/]/)[0],
    );
  }
});
