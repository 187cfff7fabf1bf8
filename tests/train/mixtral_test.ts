/** A mixtral with a trained router loss learns the same however it is divided. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { ROOT, train, writeSamples } from "./run_training.ts";

const MODELS = join(ROOT, "tests/fixtures/models");
/** Steps of one run. */
const STEPS = 4;

async function inDir(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-mixtral-" });
  try {
    writeSamples(
      join(dir, "data.jsonl"),
      Array.from({ length: 16 }, (_, i) => {
        const ids = Array.from({ length: 11 + 3 * i % 6 }, (_, t) => 4 + (7 * i + 5 * t) % 60);
        return { ids, labels: ids };
      }),
    );
    await use(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

async function run(
  dir: string,
  name: string,
  dims: [number, number],
  config: Record<string, unknown> = {},
) {
  const { status, stderr, metrics } = await train(dir, {
    model_path: join(MODELS, "mixtral_aux/hf"),
    max_seq_len: 16,
    n_epoches: STEPS / 2,
    threads: 1,
    shuffle: false,
    train_micro_batch_size_per_gpu: 1,
    train_batch_size: 8,
    gradient_clipping: 1,
    steps_per_print: 1,
    optimizer: { type: "AdamW", params: { lr: 1e-3, eps: 1e-6 } },
    model_topo: { process_topology: { dims } },
    ...config,
  }, { name });
  return { status, stderr, metrics };
}

async function runWell(...args: Parameters<typeof run>) {
  const result = await run(...args);
  assertEquals(result.status, 0, result.stderr);
  return result;
}

/** Largest relative difference of what two runs measured. */
function difference(a: Record<string, number>[], b: Record<string, number>[]): number {
  assertEquals([a.length, b.length], [STEPS, STEPS]);
  const keys = ["loss", "aux_loss", "grad_norm"];
  return Math.max(
    ...a.flatMap((step, i) => keys.map((key) => Math.abs(step[key] / b[i][key] - 1))),
  );
}

// The router loss is of a micro-batch, as in transformers: rows that share one count together.
for (const rows of [1, 2]) {
  Deno.test(`mixtral learns the same in every division, in micro-batches of ${rows}`, async () => {
    await inDir(async (dir) => {
      const micro = { train_micro_batch_size_per_gpu: rows };
      const one = await runWell(dir, "one", [1, 1], micro);
      assertStringIncludes(one.stderr, `aux_loss: ${one.metrics[0].aux_loss.toFixed(4)}`);
      const others = [
        await runWell(dir, "three", [3, 1], micro),
        await runWell(dir, "four", [2, 2], { ...micro, schedule: "gpipe" }),
        await runWell(dir, "again", [2, 1], { ...micro, use_grad_ckpt: true }),
      ];
      for (const { metrics } of others) {
        const off = difference(metrics, one.metrics);
        assert(off < 1e-5, `differs by ${off}`);
      }
      if (rows === 1) return;
      const single = await runWell(dir, "single", [1, 1]);
      assert(difference(single.metrics, one.metrics) > 1e-4, "rows that share one do not count");
    });
  });
}

Deno.test("the router loss is in the loss by its weight, and gdgpt leaves it out", async () => {
  await inDir(async (dir) => {
    const first = async (name: string, config: Record<string, unknown>) =>
      (await runWell(dir, name, [1, 1], { n_epoches: 1, ...config })).metrics[0];
    const off = await first("off", { router_aux_loss_coef: 0 });
    const asModel = await first("model", {});
    const quarter = await first("quarter", { router_aux_loss_coef: 0.25 });
    for (const [step, weight] of [[asModel, 0.5], [quarter, 0.25]] as const) {
      assertEquals(step.aux_loss, off.aux_loss);
      assert(Math.abs(step.loss - off.loss - weight * step.aux_loss) < 1e-5, `${step.loss}`);
      assert(step.grad_norm !== off.grad_norm);
    }
    const micro = { loss_reduction: "micro_batch" };
    const plain = await first("plain", { ...micro, router_aux_loss_coef: 0 });
    const seed = await first("seed", { compat: "gdgpt", gradient_clipping: 0 });
    assert(Math.abs(seed.loss / plain.loss - 1) < 0.05, `${seed.loss}, not ${plain.loss}`);
    assert(seed.loss < asModel.loss - 1, "gdgpt has no router loss");
  });
});

Deno.test("mixtral trains on packed rows, in bf16 and in fp16", async () => {
  await inDir(async (dir) => {
    for (const type of ["bf16", "fp16"]) {
      const config = { [type]: { enabled: true }, packing: true, max_seq_len: 32, n_epoches: 6 };
      const { metrics } = await runWell(dir, type, [2, 1], { ...config, train_batch_size: 2 });
      const done = metrics.filter(({ skipped }) => !skipped);
      assert(done.length > 4 && done.at(-1)!.loss < done[0].loss, JSON.stringify(done));
    }
  });
});

Deno.test("a model without experts has no router loss to train", async () => {
  await inDir(async (dir) => {
    const { status, stderr } = await run(dir, "dense", [1, 1], {
      model_path: join(MODELS, "mistral/hf"),
      router_aux_loss_coef: 0.1,
    });
    assertEquals(status, 2, stderr);
    assertStringIncludes(stderr, "Cannot use router_aux_loss_coef as this model has no experts");
  });
});
