import { assertEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../../src/config/config_error.ts";
import { parseConfig } from "../../src/config/load.ts";
import { checkModel } from "../../src/config/model_check.ts";

function config(parts: string) {
  return parseConfig(
    `\
train_micro_batch_size_per_gpu: 1
gradient_accumulation_steps: 8
optimizer: {type: AdamW, params: {lr: 1}}
model_topo:
  process_topology: {axes: [pipe, data], dims: [3, 1]}
  parts: ${parts}
model_path: m
save_path: s
data_path: d
n_epoches: 1
max_seq_len: 512
`,
    "tiny.yml",
  );
}

Deno.test("checkModel() accepts what fits", () => {
  checkModel(config("[3, 4, 3]"), { layerCount: 10, maxPositions: 512 });
  checkModel(config("auto"), { layerCount: 3 });
});

Deno.test("checkModel() reports all that does not fit, with places", () => {
  const error = assertThrows(
    () => checkModel(config("[3, 4, 2]"), { layerCount: 10, maxPositions: 256 }),
    ConfigError,
  );
  assertEquals(error.problems, [
    "Cannot split the model as the sum of model_topo.parts must be 10 (8 blocks, embedding and " +
    "head): current sum is 9 (tiny.yml:6:10)",
    "Cannot use max_seq_len as it must be at most 256, the longest row of this model: current " +
    "value is 512 (tiny.yml:11:14)",
  ]);
  assertThrows(
    () => checkModel(config("auto"), { layerCount: 2 }),
    ConfigError,
    "it has 2 layers and each of the 3 stages needs one: lower the first of dims (tiny.yml:5:48)",
  );
});
