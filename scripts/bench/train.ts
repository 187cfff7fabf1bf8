#!/usr/bin/env -S deno run -A
/**
 * Training speed beside the GEMM peak of the same machine in the same minute, and where time goes.
 *
 *   deno run -A scripts/bench/train.ts [--config configs/bench.yml] [--steps 4] [--only f32-1]
 *       [--peer PYTHON]
 *
 * Runs f32 and bf16, each with one rank of all threads and with two pipeline ranks. The share of peak
 * is (3 x forward operations per token, see src/pipeline/layer_costs.ts) x tokens/s over the peak,
 * which is the best oneDNN product of a few sizes, timed before and after the run. With `--peer` torch
 * and transformers train the same model in one process, before and after each run.
 */
import { parseArgs } from "@std/cli/parse-args";
import { join } from "@std/path";
import { loadConfig, type TrainConfig } from "../../src/config/load.ts";
import { describeConfigured } from "../../src/train/prepare.ts";
import { layerCosts } from "../../src/pipeline/layer_costs.ts";
import { Device } from "../../src/tensor/device.ts";
import type { FloatType } from "../../src/tensor/dtype.ts";
import { runPeer, times } from "./peer.ts";
import { profileStep } from "./profile_step.ts";
import { writeTokens } from "./tokens.ts";

const args = parseArgs(Deno.args, { string: ["config", "steps", "only", "peer"] });
const configPath = args.config ?? "configs/bench.yml";
const steps = Number(args.steps ?? 4);

/** Best GFLOP/s of a square product in `dtype`, with all threads. */
function gemmPeak(dtype: FloatType): number {
  using device = Device.open();
  let best = 0;
  for (const n of [512, 1024, 2048]) {
    const [a, b, c] = [0, 1, 2].map(() => device.tensor([n, n], dtype));
    const run = () =>
      // deno-fmt-ignore
      device.kernels.gemm(a.ptr, b.ptr, c.ptr, n, n, n, n, n, n, 0, 1, 1, 0, 0, 0, 1, 0, a.code, c.code);
    run();
    for (let i = 0; i < Math.ceil(2e10 / n ** 3); i++) {
      const start = performance.now();
      run();
      best = Math.max(best, 2 * n ** 3 / (performance.now() - start) / 1e6);
    }
  }
  return best;
}

interface Run {
  name: string;
  dtype: FloatType;
  overrides: string[];
}

const pipeline = ["model_topo.process_topology.dims=[2, 1]", "model_topo.parts=[7, 3]"];
const RUNS: Run[] = [
  { name: "f32-1", dtype: "f32", overrides: [] },
  { name: "f32-2", dtype: "f32", overrides: pipeline },
  { name: "bf16-1", dtype: "bf16", overrides: ["bf16.enabled=true"] },
  { name: "bf16-2", dtype: "bf16", overrides: ["bf16.enabled=true", ...pipeline] },
];

async function measure(run: Run, dir: string) {
  const save = join(dir, run.name);
  const overrides = [
    ...run.overrides,
    `data_path=${join(dir, "tokens.jsonl")}`,
    `save_path=${save}`,
  ];
  const config = loadConfig(configPath, overrides);
  const before = gemmPeak(run.dtype), peerBefore = peerRate(config, run.dtype);
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "main.ts",
      "train",
      configPath,
      ...overrides.flatMap((set) => ["--set", set]),
    ],
    stdout: "null",
    stderr: "inherit",
  });
  if (!(await command.output()).success) throw new Error(`The run ${run.name} failed`);
  const peak = Math.max(before, gemmPeak(run.dtype)), peerAfter = peerRate(config, run.dtype);
  const lines = Deno.readTextFileSync(join(save, "metrics.jsonl")).trim().split("\n");
  const rates = lines.slice(1).map((line) => JSON.parse(line).tokens_per_second).sort((a, b) =>
    a - b
  );
  const flops = layerCosts(describeConfigured(config), config.max_seq_len)
    .reduce((sum, cost) => sum + 3 * cost.flops, 0);
  const rate = rates[Math.floor(rates.length / 2)];
  return {
    "tokens/s": rate.toFixed(0),
    "GFLOP/s": (flops * rate / 1e9).toFixed(0),
    "GEMM peak": peak.toFixed(0),
    "share of peak": `${(100 * flops * rate / 1e9 / peak).toFixed(1)} %`,
    ...(args.peer && { "beside torch": times(rate, (peerBefore + peerAfter) / 2) }),
  };
}

/** Tokens/s of torch; 0 if it is not asked for. */
function peerRate(config: TrainConfig, dtype: FloatType): number {
  if (!args.peer) return 0;
  const sizes = [
    steps,
    config.train_batch_size,
    config.max_seq_len,
    config.train_micro_batch_size_per_gpu,
  ];
  const modelConfig = join(config.model_path, "config.json");
  const { tokensPerSecond } = runPeer<{ tokensPerSecond: number }>(args.peer, "train", [
    modelConfig,
    dtype,
    ...sizes.map(String),
  ]);
  return tokensPerSecond;
}

const dir = Deno.makeTempDirSync({ prefix: "llmpipe-bench-" });
try {
  const config = loadConfig(configPath);
  const model = describeConfigured(config);
  const rows = steps * config.train_batch_size;
  writeTokens(join(dir, "tokens.jsonl"), {
    rows,
    length: config.max_seq_len,
    vocabSize: model.vocabSize,
  });
  const wanted = RUNS.filter(({ name }) => !args.only || args.only === name);
  const table: Record<string, unknown> = {};
  for (const run of wanted) table[run.name] = await measure(run, dir);
  console.table(table);
  for (const dtype of new Set(wanted.map((run) => run.dtype))) profileStep(configPath, dtype);
} finally {
  Deno.removeSync(dir, { recursive: true });
}
