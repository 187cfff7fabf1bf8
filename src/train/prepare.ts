/** Everything that is checked and made before any rank starts. @module */
import { join } from "@std/path";
import { readModelConfig, resolveConfigDir } from "../checkpoint/model_dir.ts";
import { openModel } from "../checkpoint/model_source.ts";
import { ConfigError } from "../config/config_error.ts";
import type { TrainConfig } from "../config/load.ts";
import { checkModel } from "../config/model_check.ts";
import { prepareDataset, type PrepareProgress } from "../data/prepare_dataset.ts";
import { createSampler, type Sampler } from "../data/sampler.ts";
import { threadsPerRank } from "../launch/placement.ts";
import { checkWeights } from "../models/load_weights.ts";
import type { ModelDescription } from "../models/model.ts";
import { describeModel } from "../models/registry.ts";
import { layerCosts } from "../pipeline/layer_costs.ts";
import { balance } from "../pipeline/partition.ts";
import type { Backend } from "../tensor/choose_backend.ts";
import { planRank, type RankMemory, stageSpec } from "./layout.ts";

/** What the ranks of a run are told, as JSON. */
export interface RunPlan {
  /** Values of the configuration, and the file they came from. */
  config: { values: unknown; file: string };
  /** Layers of each stage. */
  parts: number[];
  /** The token file. */
  dataset: string;
  /** Optimizer steps of the whole run. */
  steps: number;
  /** Which native library the ranks use. */
  backend: Backend;
  /** Letters and digits that no other run uses: marks its unfinished files. */
  id: string;
  /** Checkpoint directory to go on from; absent for a fresh start. */
  resume?: string;
}

/** A run that can start. */
export interface PreparedRun {
  /** For the ranks. */
  plan: RunPlan;
  /** The model. */
  model: ModelDescription;
  /** Memory of the rank of each stage. */
  memory: RankMemory[];
  /** Rows of the data set. */
  rows: number;
  /** Samples of the data set. */
  samples: number;
  /** True when the token file was there already. */
  isCached: boolean;
}

/** The sampler of a configuration over so many rows. */
export function samplerOf(config: TrainConfig, rows: number): Sampler {
  return createSampler({
    rows,
    seed: config.seed,
    shuffle: config.shuffle,
    compat: config.compat === "gdgpt" ? "gdgpt" : "none",
    microBatch: config.train_micro_batch_size_per_gpu,
    accumulation: config.gradient_accumulation_steps,
    dataParallel: config.replicas,
  });
}

/**
 * Reads config.json of the configured model and checks the configuration against it.
 *
 * @throws {ConfigError} With what is wrong
 */
export function describeConfigured(config: TrainConfig): ModelDescription {
  const configPath = join(resolveConfigDir(config.model_path), "config.json");
  const model = describeModel(readModelConfig(config.model_path), configPath);
  checkModel(config, {
    layerCount: model.layers.length,
    experts: model.experts,
    ...(model.maxPositions === undefined ? {} : { maxPositions: model.maxPositions }),
  });
  return model;
}

/**
 * Checks the weights that a fresh start reads, by the headers of their files.
 *
 * @throws {ConfigError} Naming every file and tensor that is missing, damaged, of another shape, or
 * not of this model
 */
export function checkStart(config: TrainConfig, model: ModelDescription): void {
  if (config.from_scratch) return;
  using source = openModel(config.model_path);
  checkWeights(model, source);
}

/** Layers of each stage: as configured, or balanced by the work of the layers. */
export function partsOf(config: TrainConfig, model: ModelDescription): number[] {
  const { parts } = config.model_topo;
  if (parts !== "auto") return [...parts];
  const costs = layerCosts(model, config.max_seq_len);
  return balance(costs.map(({ flops }) => ({ time: flops })), config.stages);
}

/**
 * Tokenizes the data, divides the model and plans the memory of every stage.
 *
 * @throws {ConfigError} With what is wrong; nothing was started or overwritten
 */
export async function prepareRun(
  config: TrainConfig,
  model: ModelDescription,
  backend: Backend,
  onProgress?: (progress: PrepareProgress) => void,
): Promise<PreparedRun> {
  const data = await prepareDataset({
    dataPath: config.data_path,
    modelPath: config.model_path,
    maxSeqLen: config.max_seq_len,
    packing: config.packing,
    fallbackDir: join(config.save_path, "data"),
    onProgress,
  });
  const steps = samplerOf(config, data.rows).steps(config.n_epoches);
  if (steps === 0) {
    throw new ConfigError([
      `Cannot train on ${config.data_path} as a step needs train_micro_batch_size_per_gpu * ` +
      `gradient_accumulation_steps * data replicas = ${config.train_batch_size} rows: ` +
      `n_epoches = ${config.n_epoches} gives ${config.n_epoches * data.rows}`,
    ]);
  }
  const parts = partsOf(config, model);
  const on = { backend, threads: config.threads || threadsPerRank(config.worldSize) };
  const memory = parts.map((_, p) => planRank(config, stageSpec(config, model, parts, p), p, on));
  return {
    plan: {
      config: { values: config.values, file: config.file },
      parts,
      dataset: data.path,
      steps,
      backend,
      id: crypto.randomUUID().replaceAll("-", "").slice(0, 12),
    },
    model,
    memory,
    rows: data.rows,
    samples: data.samples,
    isCached: data.isCached,
  };
}
