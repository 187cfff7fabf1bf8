/** Memory is planned before the first step, printed, and what a run takes is what was planned. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { join } from "@std/path";
import { stringify } from "@std/yaml";
import { readMetrics, ROOT, train, writeSamples } from "./run_training.ts";

const INIT = join(ROOT, "tests/fixtures/training/llama/init");
const COLUMNS = "stage weights gradients optimizer activations workspace total";
const UNITS: Record<string, number> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
/** What the runtime itself takes: its heap, compiled code, the threads of the communicators. */
const RUNTIME_BYTES = 40 * 2 ** 20;

interface Topology {
  dtype: "f32" | "bf16";
  dims: [number, number];
  schedule: "1f1b" | "gpipe";
  use_grad_ckpt?: boolean;
}

async function inDir(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-memory-" });
  const ids = (i: number) => Array.from({ length: 32 }, (_, t) => 3 + (i * 7 + t * 3) % 190);
  try {
    const samples = Array.from({ length: 16 }, (_, i) => ({ ids: ids(i), labels: ids(i) }));
    writeSamples(join(dir, "data.jsonl"), samples);
    await use(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function configOf({ dtype, dims, schedule, use_grad_ckpt = false }: Topology) {
  return {
    model_path: INIT,
    max_seq_len: 32,
    n_epoches: 1,
    threads: 1,
    train_micro_batch_size_per_gpu: 2,
    gradient_accumulation_steps: 4,
    optimizer: { type: "AdamW", params: { lr: 1e-3 } },
    ...(dtype === "bf16" ? { bf16: { enabled: true } } : {}),
    model_topo: { process_topology: { dims } },
    schedule,
    use_grad_ckpt,
  };
}

/** The rows of the first memory table: bytes by column. */
function readPlan(stderr: string): Record<string, number>[] {
  const lines = stderr.split("\n").map((line) => line.trim().replace(/ +/g, " "));
  const header = lines.indexOf(COLUMNS);
  assert(header >= 0, `no table of "${COLUMNS}" in ${stderr}`);
  const names = COLUMNS.split(" ");
  const rows: Record<string, number>[] = [];
  for (let line = header + 1; /^\d+( [\d.]+ [KMG]?i?B){6}$/.test(lines[line]); line++) {
    const [stage, ...cells] = lines[line].split(" ");
    const row: Record<string, number> = { stage: Number(stage) };
    names.slice(1).forEach((name, i) => row[name] = Number(cells[2 * i]) * UNITS[cells[2 * i + 1]]);
    row.total = names.slice(1, -1).reduce((sum, name) => sum + row[name], 0); // has more digits
    rows.push(row);
  }
  return rows;
}

async function runOnce(dir: string, topology: Topology) {
  const { stderr, status, metrics } = await train(dir, configOf(topology), {
    name: Object.values(topology).join("-"),
  });
  assertEquals(status, 0, stderr);
  assertEquals(metrics.length, 2);
  const planAt = stderr.indexOf("Memory of a rank, by stage");
  assert(planAt >= 0 && planAt < stderr.indexOf("Memory after the first step"), stderr);
  return { plan: readPlan(stderr), metrics, stderr };
}

for (
  const topology of [
    { dtype: "f32", dims: [1, 1], schedule: "1f1b" },
    { dtype: "f32", dims: [2, 1], schedule: "1f1b" },
    { dtype: "bf16", dims: [1, 1], schedule: "gpipe" },
    { dtype: "bf16", dims: [2, 1], schedule: "gpipe" },
  ] as Topology[]
) {
  const { dtype, dims, schedule } = topology;
  Deno.test(`${dtype} on [${dims}], ${schedule}: the plan holds, with and without use_grad_ckpt`, async () => {
    await inDir(async (dir) => {
      const [plain, saving] = [
        await runOnce(dir, topology),
        await runOnce(dir, { ...topology, use_grad_ckpt: true }),
      ];
      for (const { plan, metrics, stderr } of [plain, saving]) {
        assertEquals(plan.map(({ stage }) => stage), [...Array(dims[0]).keys()], stderr);
        for (const { memory } of metrics as unknown as { memory: number[] }[]) {
          assertEquals(memory.length, dims[0]);
          memory.forEach((measured, p) => {
            const relative = measured / plan[p].total - 1;
            assert(Math.abs(relative) < 0.05, `stage ${p} took ${measured} bytes\n${stderr}`);
          });
        }
      }
      // The first stage holds several blocks at a time; one alone would save nothing.
      assertLess(saving.plan[0].activations, plain.plan[0].activations);
      const curve = ({ metrics }: typeof plain) =>
        metrics.map(({ loss, grad_norm }) => [loss, grad_norm]);
      assertEquals(curve(saving), curve(plain));
    });
  });
}

/** Memory of its own, not of files, that each rank of a run holds now, by rank. */
function ownMemory(planPath: string): number[] {
  const found: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const read = (file: string) => Deno.readTextFileSync(`/proc/${name}/${file}`);
      if (!read("cmdline").split("\0").includes(planPath)) continue;
      const rank = Number(/\0?RANK=(\d+)/.exec(read("environ"))![1]);
      found[rank] = 1024 * Number(/^RssAnon:\s*(\d+)/m.exec(read("status"))![1]);
    } catch {
      // it ended meanwhile
    }
  }
  return found;
}

Deno.test("what the kernel counts for each rank is its plan, and the runtime", async () => {
  await inDir(async (dir) => {
    const model = join(dir, "model");
    Deno.mkdirSync(model);
    const config = JSON.parse(Deno.readTextFileSync(join(INIT, "config.json")));
    // Wide where it costs memory and not time: mostly embedding and head
    Object.assign(config, { vocab_size: 40_000, hidden_size: 256, head_dim: 64 });
    Deno.writeTextFileSync(join(model, "config.json"), JSON.stringify(config));
    for (const topology of [["f32", 1, "1f1b"], ["bf16", 2, "gpipe"]] as const) {
      const [dtype, stages, schedule] = topology;
      const savePath = join(dir, dtype);
      const path = join(dir, `${dtype}.yml`);
      const all = {
        ...configOf({ dtype, dims: [stages, 1], schedule }),
        model_path: model,
        from_scratch: true,
        data_path: join(dir, "data.jsonl"),
        save_path: savePath,
        n_epoches: 1000,
        steps_per_print: 1,
      };
      Deno.writeTextFileSync(path, stringify(all));
      const process = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", join(ROOT, "main.ts"), "train", path],
        env: { LLMPIPE_CACHE_DIR: join(dir, "cache") },
        stdin: "null",
        stderr: "piped",
      }).spawn();
      const stderr = new Response(process.stderr).text();
      for (const end = Date.now() + 60_000; readMetrics(savePath).length < 3;) {
        assert(Date.now() < end, "waited 60 s until step 3 is done");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const held = ownMemory(join(savePath, "run.json"));
      process.kill("SIGINT");
      await process.status;
      const plan = readPlan(await stderr);
      assertEquals([held.length, plan.length], [stages, stages]);
      held.forEach((bytes, p) => {
        const { total } = plan[p];
        const told = `stage ${p} of ${dtype} is planned with ${total} bytes and holds ${bytes}`;
        assert(Math.abs(bytes - RUNTIME_BYTES - total) < 0.05 * total, told);
      });
    }
  });
});
