import { assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { describeModel } from "../../src/models/registry.ts";
import { decayRule } from "../../src/optim/param_groups.ts";
import { Device } from "../../src/tensor/device.ts";
import { ParameterStore } from "../../src/tensor/parameter.ts";
import { ROOT } from "../train/run_training.ts";

const TRAINING = join(ROOT, "tests/fixtures/training");
const readJson = (...path: string[]) => JSON.parse(Deno.readTextFileSync(join(TRAINING, ...path)));

for (const [family, run] of [["llama", "adamw"], ["bloom", "lion"]]) {
  Deno.test(`patterns see the parameters of ${family} by the names of gdGPT's pipeline, in any stage`, () => {
    type Known = { pipeline_name: string; weight_decay: boolean };
    const log: { parameters: Record<string, Known>; no_wd_kws: string[] } = readJson(
      ...[family, run, "log.json"],
    );
    const model = describeModel(readJson(family, "init", "config.json"));
    const layers = model.layers.map((parameters, layer) => ({ layer, parameters }));
    const decays = decayRule(log.no_wd_kws);
    const named = (stages: (typeof layers)[]) =>
      stages.flatMap((stage) =>
        new ParameterStore(Device.dry(), stage, { dtype: "f32", train: false }).parameters
      ).map(({ pipelineName }) => `${pipelineName} ${decays(pipelineName)}`);
    const expected = Object.values(log.parameters)
      .map(({ pipeline_name, weight_decay }) => `${pipeline_name} ${weight_decay}`);
    assertEquals(named([layers]).sort(), [...expected].sort());
    assertEquals(new Set(named([layers.slice(0, 2), layers.slice(2)])), new Set(expected));
  });
}

Deno.test("decayRule() matches names anywhere, as the reference runs did", () => {
  const decays = decayRule(["bias", "[a-zA-Z]*norm"]);
  const cases: [string, boolean][] = [
    ["0.embed_tokens.weight", true],
    ["1.self_attn.q_proj.weight", true],
    ["1.self_attn.q_proj.bias", false],
    ["1.input_layernorm.weight", false],
    ["3.norm.weight", false],
    ["3.lm_head.weight", true],
    ["tied_modules.embed.word_embeddings.weight", true],
    ["tied_modules.embed.word_embeddings_layernorm.weight", false],
  ];
  for (const [name, expected] of cases) assertEquals(decays(name), expected, name);
});

Deno.test("decayRule() lets everything decay without patterns", () => {
  assertEquals(decayRule([])("1.norm.weight"), true);
});

Deno.test("decayRule() refuses a pattern that is none", () => {
  assertThrows(() => decayRule(["("]), SyntaxError);
});
