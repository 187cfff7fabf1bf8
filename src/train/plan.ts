/** `llmpipe plan`: what a run will need and how its time will be spent, before it is started. @module */
import { ConfigError } from "../config/config_error.ts";
import type { TrainConfig } from "../config/load.ts";
import { threadsPerRank } from "../launch/placement.ts";
import { memoryTable } from "../monitor/memory_table.ts";
import { layerCosts } from "../pipeline/layer_costs.ts";
import { layerRanges } from "../pipeline/partition.ts";
import { pipelinePrograms } from "../pipeline/schedule.ts";
import { simulate } from "../pipeline/simulate.ts";
import { drawSchedule } from "../pipeline/validate.ts";
import { type Backend, chooseBackend } from "../tensor/choose_backend.ts";
import { Device } from "../tensor/device.ts";
import type { FloatType } from "../tensor/dtype.ts";
import { memoryRow, planRank, stageSpec } from "./layout.ts";
import { describeConfigured, partsOf } from "./prepare.ts";

/** A backward pass computes the gradient of the input and that of the weight. */
const BACKWARD_OVER_FORWARD = 2;
/** Wider grids than this do not fit a terminal. */
const DRAWN_PASSES = 16;

/**
 * Describes a run: stages with layers, parameters, memory and time, then the schedule with its bubble.
 * Times are what the products alone take at the rate of this machine.
 *
 * @throws {ConfigError} If the model and the configuration do not fit together
 */
export function describePlan(config: TrainConfig): string {
  const model = describeConfigured(config);
  const parts = partsOf(config, model);
  const costs = layerCosts(model, config.max_seq_len);
  const tokens = config.train_micro_batch_size_per_gpu * config.max_seq_len;
  const threads = config.threads || threadsPerRank(config.worldSize);
  const rate = gemmRate(config.dtype, threads);
  const stages = layerRanges(parts, model.layers.length).map(({ begin, end }) => {
    const own = costs.slice(begin, end);
    return {
      begin,
      end,
      parameters: own.reduce((sum, cost) => sum + cost.parameters, 0),
      forwardSeconds: own.reduce((sum, cost) => sum + cost.flops, 0) * tokens / rate,
    };
  });
  const M = config.gradient_accumulation_steps;
  const programs = pipelinePrograms(config.schedule, config.stages, M);
  const { passTime, bubble, peakInFlight } = simulate(programs, {
    forward: (p) => stages[p].forwardSeconds,
    backward: (p) => BACKWARD_OVER_FORWARD * stages[p].forwardSeconds,
  });
  const { backend, isOther } = plannedBackend(config);
  const memory = parts.map((_, p) =>
    memoryRow(p, planRank(config, stageSpec(config, model, parts, p), p, { backend, threads }))
  );
  const rows = stages.map(({ begin, end, parameters, forwardSeconds }, p) => [
    `${p}`,
    `${begin}-${end - 1}`,
    `${(parameters / 1e6).toFixed(2)}M`,
    `${((1 + BACKWARD_OVER_FORWARD) * M * forwardSeconds).toFixed(3)}s`,
    `${peakInFlight[p]}`,
  ]);
  const total = stages.reduce((sum, stage) => sum + stage.parameters, 0);
  const perStep = tokens * M * config.replicas;
  return [
    `${count(config.worldSize, "rank")}: ${count(config.stages, "stage")} of ${
      count(config.replicas, "replica")
    }, ` +
    `parts [${parts.join(", ")}], ${(total / 1e6).toFixed(2)}M parameters in ${config.dtype}`,
    columns(["stage", "layers", "parameters", "products", "in flight"], rows),
    "",
    `Memory of a rank${isOther ? ` (workspace as on the CPU: ${config.device} is not here)` : ""}`,
    memoryTable(memory),
    "",
    `${config.schedule}, ${count(M, "micro-batch", "es")}: bubble ${
      (100 * bubble).toFixed(1)
    } %, at least ` +
    `${passTime.toFixed(3)}s a step of ${perStep} tokens, at ${
      (rate / 1e9).toFixed(0)
    } GFLOP/s a rank`,
    ...(M <= DRAWN_PASSES && config.stages > 1 ? [drawSchedule(programs)] : []),
  ].join("\n");
}

/** The backend of a run; that of the CPU where the devices of the run are on another machine. */
function plannedBackend(
  { device, worldSize }: TrainConfig,
): { backend: Backend; isOther: boolean } {
  try {
    return { backend: chooseBackend(device, worldSize).backend, isOther: false };
  } catch (error) {
    if (error instanceof ConfigError) return { backend: "cpu", isOther: true };
    throw error;
  }
}

/** Operations per second of a large product on `threads` threads. */
function gemmRate(dtype: FloatType, threads: number): number {
  using device = Device.open({ threads });
  const n = 768;
  const [a, b, c] = [0, 1, 2].map(() => device.tensor([n, n], dtype));
  let best = Infinity;
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    // deno-fmt-ignore
    device.kernels.gemm(a.ptr, b.ptr, c.ptr, n, n, n, n, n, n, 0, 1, 1, 0, 0, 0, 1, 0, a.code, c.code);
    best = Math.min(best, performance.now() - start);
  }
  return 2 * n ** 3 / (best / 1000);
}

function columns(header: readonly string[], rows: readonly string[][]): string {
  const widths = header.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => row[i].length))
  );
  return [header, ...rows]
    .map((row) => row.map((cell, i) => cell.padStart(widths[i])).join("  "))
    .join("\n");
}

function count(n: number, what: string, plural = "s"): string {
  return `${n} ${what}${n === 1 ? "" : plural}`;
}
