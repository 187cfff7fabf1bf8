/** Where a run begins: checkpoints that do not fit, or are damaged, are refused before any rank starts. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { ROOT, train, writeSamples } from "./run_training.ts";

const INIT = join(ROOT, "tests/fixtures/training/llama/init");
const CONFIG = {
  model_path: INIT,
  max_seq_len: 16,
  n_epoches: 1,
  threads: 1,
  train_micro_batch_size_per_gpu: 1,
  gradient_accumulation_steps: 2,
  optimizer: { type: "AdamW", params: { lr: 1e-3 } },
};

/** Every file below a folder and when it was written. */
function filesOf(dir: string): string[] {
  return [...Deno.readDirSync(dir)].flatMap(({ name, isDirectory }) => {
    const path = join(dir, name);
    return isDirectory ? filesOf(path) : [`${path} ${Deno.statSync(path).mtime?.getTime()}`];
  }).sort();
}

Deno.test("a run goes on only from what fits its configuration", async (t) => {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-start-" });
  try {
    const ids = (i: number) => Array.from({ length: 12 }, (_, j) => 3 + (i * 7 + j * 3) % 190);
    const samples = Array.from({ length: 8 }, (_, i) => ({ ids: ids(i), labels: ids(i) }));
    writeSamples(join(dir, "data.jsonl"), samples);
    const first = await train(dir, CONFIG);
    assertEquals(first.status, 0, first.stderr);
    const goOn = (changes: Record<string, unknown>) =>
      train(dir, { ...CONFIG, n_epoches: 2, ...changes }, { args: ["--resume", "auto"] });

    const refuse = async (changes: Record<string, unknown>, ...says: string[]) => {
      const before = filesOf(first.savePath);
      const { status, stderr } = await goOn(changes);
      assertEquals(status, 2, stderr);
      for (const text of says) assertStringIncludes(stderr, text);
      assert(!stderr.includes("Rank"), stderr);
      assertEquals(filesOf(first.savePath), before);
    };
    await t.step("another model", async () => {
      const model = join(dir, "other");
      Deno.mkdirSync(model);
      const config = JSON.parse(Deno.readTextFileSync(join(INIT, "config.json")));
      Deno.writeTextFileSync(
        join(model, "config.json"),
        JSON.stringify({ ...config, intermediate_size: 100 }),
      );
      await refuse(
        { model_path: model, from_scratch: true },
        "1.mlp.gate_proj.weight",
        "config.json makes it [100, 48]",
      );
    });
    await t.step("another optimizer", async () => {
      await refuse(
        { optimizer: { type: "Lion", params: { lr: 1e-4 } } },
        "with Lion as its state is that of AdamW",
        "run.yml:",
      );
    });
    await t.step("no checkpoint is complete", async () => {
      const name = "layer_01-model_states.safetensors";
      const path = join(first.savePath, "checkpoint_final", name);
      Deno.renameSync(path, join(dir, name));
      await refuse({}, "none of its checkpoints is complete", name);
      Deno.renameSync(join(dir, name), path);
    });
    await t.step("other settings are named, those that change nothing are not", async () => {
      const optimizer = { type: "AdamW", params: { lr: 5e-4 } };
      const { status, stderr, metrics } = await goOn({ optimizer, seed: 5, steps_per_print: 3 });
      assertEquals(status, 0, stderr);
      assertStringIncludes(
        stderr,
        "The checkpoint was trained with other settings: optimizer.params.lr is 0.0005, was 0.001; " +
          "n_epoches is 2, was 1; seed is 5, was 0\n",
      );
      assertEquals(metrics.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8]);
    });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
