/** Going on from a checkpoint is the same as never having stopped. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { ROOT, train, writeSamples } from "./run_training.ts";

const MODEL = join(ROOT, "tests/fixtures/training/llama/init");

function configure(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    model_path: MODEL,
    max_seq_len: 24,
    threads: 1,
    n_epoches: 3,
    train_micro_batch_size_per_gpu: 1,
    train_batch_size: 4,
    save_every_n_steps: 4,
    optimizer: { type: "AdamW", params: { lr: 2e-3, weight_decay: 0.1 } },
    scheduler: { type: "WarmupCosineLR", params: { warmup_num_steps: 3 } },
    ...changes,
  };
}

function prepare(): string {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-resume-" });
  const row = (i: number) =>
    Array.from({ length: 9 + i % 12 }, (_, t) => 3 + (i * 31 + t * 7) % 190);
  writeSamples(
    join(dir, "data.jsonl"),
    Array.from({ length: 16 }, (_, i) => ({ ids: row(i), labels: row(i) })),
  );
  return dir;
}

/** All weights of a checkpoint, layer by layer. */
function readWeights(dir: string): Uint8Array[] {
  using model = openModel(dir);
  const layers = Array.from({ length: model.layerCount }, (_, layer) => layer);
  return layers.flatMap((layer) =>
    model.names(layer).map((name) => {
      const bytes = new Uint8Array(model.entry(layer, name).bytes);
      model.read(layer, name, bytes);
      return bytes;
    })
  );
}

const curve = (metrics: Record<string, number>[]) =>
  metrics.map(({ step, loss, grad_norm, lr }) => [step, loss, grad_norm, lr]);

for (const dtype of ["f32", "bf16", "fp16"]) {
  Deno.test(`${dtype}: an interrupted run ends with the bits of one that was not`, async () => {
    const dir = prepare();
    try {
      const config = configure(dtype === "f32" ? {} : { [dtype]: { enabled: true } });
      const whole = await train(dir, config, { name: "whole" });
      assertEquals(whole.status, 0, whole.stderr);
      assertEquals(whole.metrics.length, 12);
      const from = join(whole.savePath, "step_000004");
      const rest = await train(dir, config, { name: "rest", args: ["--resume", from] });
      assertEquals(rest.status, 0, rest.stderr);
      assertEquals(curve(rest.metrics), curve(whole.metrics.slice(4)));
      const [a, b] = [whole, rest].map((r) => readWeights(join(r.savePath, "checkpoint_final")));
      assertEquals(a, b);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}

Deno.test("a checkpoint of one rank goes on in four, and the other way round", async () => {
  const dir = prepare();
  try {
    const split = (dims: number[]) => configure({ model_topo: { process_topology: { dims } } });
    const whole = await train(dir, split([1, 1]), { name: "one" });
    const many = await train(dir, split([2, 2]), {
      name: "four",
      args: ["--resume", join(whole.savePath, "step_000004")],
    });
    assertEquals(many.status, 0, many.stderr);
    const back = await train(dir, split([1, 1]), {
      name: "back",
      args: ["--resume", join(many.savePath, "step_000008")],
    });
    for (const { metrics } of [many, back]) {
      for (const { step, loss } of metrics) {
        const want = whole.metrics[step - 1].loss;
        assert(Math.abs(loss - want) < 1e-5 * want, `step ${step}: ${loss}, expected ${want}`);
      }
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("--resume auto goes on in place, and says so when nothing is left", async () => {
  const dir = prepare();
  try {
    const first = await train(dir, configure({ keep_last_n: 1 }));
    assertEquals(first.status, 0, first.stderr);
    const entries = [...Deno.readDirSync(first.savePath)].map(({ name }) => name);
    assertEquals(entries.filter((name) => name.startsWith("step_")), ["step_000008"]);
    const again = await train(dir, configure());
    assertEquals(again.status, 2);
    assertStringIncludes(again.stderr, "already holds a run");
    Deno.removeSync(join(first.savePath, "checkpoint_final"), { recursive: true });
    Deno.writeTextFileSync(join(first.savePath, "latest"), "step_000008");
    const rest = await train(dir, configure(), { args: ["--resume", "auto"] });
    assertEquals(rest.status, 0, rest.stderr);
    assertEquals(curve(rest.metrics), curve(first.metrics));
    const done = await train(dir, configure(), { args: ["--resume", "auto"] });
    assertEquals(done.status, 0);
    assertStringIncludes(done.stderr, "Nothing is left to do");
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
