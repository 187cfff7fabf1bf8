/** A run that fails, or is ended, ends as a whole: soon, with its first cause last, leaving nothing. */
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { stringify } from "@std/yaml";
import { readTrainerState } from "../../src/checkpoint/trainer_state.ts";
import { expectTidy, ranksOf } from "./left_behind.ts";
import { llmpipe, readMetrics, ROOT, writeSamples } from "./run_training.ts";

const INIT = join(ROOT, "tests/fixtures/training/llama/init");

/** A run under way. */
interface Run {
  savePath: string;
  cacheDir: string;
  configPath: string;
  process: Deno.ChildProcess;
  stderr: Promise<string>;
}

/** Starts a run that would take hours, and ends what is left of it. */
async function withRun(
  config: Record<string, unknown>,
  use: (run: Run) => Promise<void>,
): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-failure-" });
  const [savePath, cacheDir, configPath] = ["save", "cache", "run.yml"].map((n) => join(dir, n));
  const ids = (i: number) => Array.from({ length: 12 }, (_, t) => 3 + (i * 7 + t * 3) % 190);
  const samples = Array.from({ length: 32 }, (_, i) => ({ ids: ids(i), labels: ids(i) }));
  writeSamples(join(dir, "data.jsonl"), samples);
  const all = {
    data_path: join(dir, "data.jsonl"),
    model_path: INIT,
    save_path: savePath,
    max_seq_len: 16,
    n_epoches: 1_000_000,
    threads: 1,
    train_micro_batch_size_per_gpu: 1,
    gradient_accumulation_steps: 2,
    optimizer: { type: "AdamW", params: { lr: 1e-3 } },
    ...config,
  };
  Deno.writeTextFileSync(configPath, stringify(all));
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(ROOT, "main.ts"), "train", configPath],
    env: { LLMPIPE_CACHE_DIR: cacheDir },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const stderr = new Response(process.stderr).text();
  try {
    await use({ savePath, cacheDir, configPath, process, stderr });
  } finally {
    try {
      process.kill("SIGKILL");
    } catch {
      // it has ended, as it should
    }
    await stderr;
    await until("all processes are gone", () => ranksOf(savePath).length === 0);
    Deno.removeSync(dir, { recursive: true });
  }
}

const grid = (...dims: number[]) => ({ model_topo: { process_topology: { dims } } });

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; !condition();) {
    assert(Date.now() < end, `waited 30 s until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const untilStep = (savePath: string, step: number) =>
  until(`step ${step} is done`, () => readMetrics(savePath).length >= step);

/** The checkpoint that `latest` names is whole. */
function expectWhole(savePath: string): void {
  const name = Deno.readTextFileSync(join(savePath, "latest")).trim();
  assert(readTrainerState(join(savePath, name)).step > 0);
}

Deno.test("a killed rank brings down a run of four, which says so last and leaves no half checkpoint", async () => {
  await withRun({ ...grid(2, 2), save_every_n_steps: 1, keep_last_n: 2 }, async (run) => {
    await untilStep(run.savePath, 3);
    const pids = ranksOf(run.savePath);
    assertEquals(pids.length, 4);
    const begin = performance.now();
    Deno.kill(pids[2], "SIGKILL");
    const { code } = await run.process.status;
    assertLess((performance.now() - begin) / 1000, 5);
    assertEquals(code, 1);
    const lines = (await run.stderr).trimEnd().split("\n");
    assertMatch(lines.at(-1)!, /^llmpipe: Rank 2 failed: it was killed by SIGKILL/);
    assertEquals(lines.filter((line) => /^ {4}at /.test(line)), []);
    expectTidy(run);
    expectWhole(run.savePath);
  });
});

Deno.test("SIGINT to the supervisor ends all ranks, and the run can go on afterwards", async () => {
  await withRun({ ...grid(2, 1), save_every_n_steps: 1, keep_last_n: 2 }, async (run) => {
    await untilStep(run.savePath, 3);
    const begin = performance.now();
    run.process.kill("SIGINT");
    const { code } = await run.process.status;
    assertLess((performance.now() - begin) / 1000, 5);
    assertEquals(code, 130);
    assertEquals((await run.stderr).trimEnd().split("\n").at(-1), "llmpipe: Stopped by SIGINT");
    expectTidy(run);
    expectWhole(run.savePath);
    const steps = readMetrics(run.savePath).length;
    const args = ["train", run.configPath, "--resume", "auto", "--set"];
    const end = await llmpipe([...args, "n_epoches=1"], { LLMPIPE_CACHE_DIR: run.cacheDir });
    assertEquals(end.status, 0, end.stderr);
    assert(readMetrics(run.savePath).length >= Math.min(steps, 16) - 1);
  });
});

Deno.test("no rank outlives a supervisor that is killed, and the save path is free again", async () => {
  await withRun({ ...grid(2, 1), save_every_n_steps: 1, keep_last_n: 2 }, async (run) => {
    await untilStep(run.savePath, 3);
    run.process.kill("SIGKILL");
    await run.process.status;
    await until("the ranks are gone", () => ranksOf(run.savePath).length === 0);
    const args = ["train", run.configPath, "--resume", "auto", "--set", "n_epoches=1"];
    const end = await llmpipe(args, { LLMPIPE_CACHE_DIR: run.cacheDir });
    assertEquals(end.status, 0, end.stderr);
    expectTidy(run);
  });
});

Deno.test("a loss that is not a number ends the run, naming step and tensor", async () => {
  for (const dims of [[1, 1], [2, 1]]) {
    const config = { ...grid(...dims), optimizer: { type: "AdamW", params: { lr: 1e30 } } };
    await withRun(config, async (run) => {
      const { code } = await run.process.status;
      const text = await run.stderr;
      assertEquals(code, 1, text);
      const last = text.trimEnd().split("\n").at(-1)!;
      assertMatch(last, /^llmpipe: Rank \d \(stage \d, step [23]\) failed: /);
      assertMatch(last, /at step [23] as the gradient of \d\.[\w.]+ is not finite \(loss \w+\)/);
      assertStringIncludes(last, "lower the learning rate");
      assertEquals(text.split("\n").filter((line) => /^ {4}at /.test(line)), []);
      expectTidy(run);
    });
  }
});

Deno.test("a rank that is killed once is started again where max_restarts allows it", async () => {
  const config = { ...grid(2, 1), save_every_n_steps: 1, keep_last_n: 2, max_restarts: 1 };
  await withRun(config, async (run) => {
    await untilStep(run.savePath, 3);
    const [first] = ranksOf(run.savePath);
    Deno.kill(first, "SIGKILL");
    const others = () => ranksOf(run.savePath).filter((pid) => pid !== first);
    await until("the run goes on", () => others().length === 2);
    const steps = readMetrics(run.savePath).length;
    await untilStep(run.savePath, steps + 2);
    Deno.kill(others()[1], "SIGKILL");
    const { code } = await run.process.status;
    assertEquals(code, 1);
    const text = await run.stderr;
    assertStringIncludes(text, "Restart 1 of 1");
    assertMatch(text.trimEnd().split("\n").at(-1)!, /Rank 1 failed: it was killed by SIGKILL/);
    const numbers = readMetrics(run.savePath).map(({ step }) => step);
    assertEquals(numbers, numbers.map((_, i) => i + 1));
    expectTidy(run);
  });
});
