/** How a configuration divides a model: the stage of each rank, its schedule, its memory. @module */
import type { TrainConfig } from "../config/load.ts";
import type { ModelDescription } from "../models/model.ts";
import type { MemoryRow } from "../monitor/memory_table.ts";
import { Optimizer, type OptimizerSpec } from "../optim/optimizer.ts";
import { decayRule } from "../optim/param_groups.ts";
import { Stage, type StageMemory } from "../pipeline/engine.ts";
import type { MicroBatchInput, StageSpec } from "../pipeline/stage_layers.ts";
import { type StageProgram, stageProgram } from "../pipeline/schedule.ts";
import type { Backend } from "../tensor/choose_backend.ts";
import { Device } from "../tensor/device.ts";
import type { ParameterStore } from "../tensor/parameter.ts";
import type { LossPolicy } from "./step_inputs.ts";

/** Planned memory of one rank in bytes. */
export interface RankMemory extends StageMemory {
  /** Master weights and moments. */
  optimizer: number;
  /** Angles of positions, losses per row and the like. */
  tables: number;
  /** Workspace that the backend's ops borrow. */
  scratch: number;
}

/** A line of the table that is printed, with what else there is beside its nearest kin. */
export function memoryRow(stage: number, memory: RankMemory): MemoryRow {
  const { activations, recomputed, workspace, tables, scratch } = memory;
  return {
    stage,
    ...memory,
    activations: activations + recomputed,
    workspace: workspace + tables + scratch,
  };
}

/** The stage `p` of a run whose stages have `parts` layers. */
export function stageSpec(
  config: TrainConfig,
  model: ModelDescription,
  parts: readonly number[],
  p: number,
): StageSpec {
  const from = parts.slice(0, p).reduce((a, b) => a + b, 0);
  return {
    model,
    from,
    to: from + parts[p],
    dtype: config.dtype,
    B: config.train_micro_batch_size_per_gpu,
    S: config.max_seq_len,
    M: config.gradient_accumulation_steps,
    slots: programOf(config, p).slots,
    checkpointing: config.use_grad_ckpt,
    seed: config.seed,
  };
}

/** What stage `p` executes in every step. */
export function programOf(config: TrainConfig, p: number): StageProgram {
  const { schedule, stages, gradient_accumulation_steps: M } = config;
  return stageProgram(schedule, { P: stages, p, M });
}

/** Allocates the optimizer of a configuration for the parameters of a stage. */
export function makeOptimizer(
  device: Device,
  store: ParameterStore,
  config: TrainConfig,
): Optimizer {
  const decays = decayRule(config.optimizer.no_wd_kws);
  return new Optimizer(
    device,
    store,
    optimizerSpec(config),
    ({ pipelineName }) => decays(pipelineName),
  );
}

/** How a configuration averages and weighs the losses of a model. */
export function lossPolicy(config: TrainConfig, model: ModelDescription): LossPolicy {
  const isSeed = config.compat === "gdgpt";
  return {
    reduction: config.loss_reduction, // the rules of the configuration know gdGPT's
    zWeight: config.aux_max_z_loss.weight,
    zPositions: isSeed ? "all" : "tokens",
    topWeight: isSeed ? 0 : model.topWeight ?? 0, // gdGPT has a loss of its own
    balanceWeight: config.router_aux_loss_coef ?? (isSeed ? 0 : model.balanceWeight ?? 0),
  };
}

/**
 * Memory of the rank that runs `spec`, found by running a step on a device that only counts. Shapes
 * are fixed, so this is exact for every step; ops whose shapes follow from the data (those of
 * experts) count the most they may take.
 *
 * @param on Where the rank will run
 */
export function planRank(
  config: TrainConfig,
  spec: StageSpec,
  p: number,
  on: { backend: Backend; threads: number },
): RankMemory {
  using device = Device.measuring({ ...on, attention: config.attention });
  const stage = new Stage(device, spec);
  const optimizer = makeOptimizer(device, stage.store, config);
  const { B, S } = spec;
  const hasZ = config.aux_max_z_loss.weight > 0;
  const empty: MicroBatchInput = {
    B,
    S,
    ids: new Int32Array(B * S),
    segments: new Int32Array(B * S),
    targets: new Int32Array(B * S),
    ceScale: 1,
    places: new Array(B).fill(0),
    zScales: hasZ ? new Float32Array(B * S) : undefined,
    topScales: lossPolicy(config, spec.model).topWeight > 0 ? new Float32Array(B * S) : undefined,
  };
  stage.run(programOf(config, p).instructions, {
    load: () => empty,
    send: () => ({ wait() {} }),
    receive() {},
    reduceGrads() {},
    step() {},
  });
  const memory = stage.memory();
  const { bytes } = optimizer;
  const tables = device.countedBytes - memory.weights - memory.gradients - bytes;
  return { ...memory, optimizer: bytes, tables, scratch: device.scratchBytes };
}

function optimizerSpec({ optimizer, compat, dtype }: TrainConfig): OptimizerSpec {
  const { lr, betas: [beta1, beta2], weight_decay: weightDecay } = optimizer.params;
  const isSeed = compat === "gdgpt";
  const common = {
    betas: [beta1, beta2] as const,
    weightDecay,
    zeroStepRate: isSeed && dtype !== "f32" ? lr : undefined,
  };
  if (optimizer.type === "AdamW") return { ...common, type: "AdamW", eps: optimizer.params.eps };
  return { ...common, type: "Lion", zeroIsNegative: optimizer.params.zero_is_negative ?? isSeed };
}
