/** Everything that is checked and made before any rank starts. @module */
import { readModelConfig } from "../checkpoint/model_dir.ts";
import { ConfigError } from "../config/config_error.ts";
import type { TrainConfig } from "../config/load.ts";
import { checkModel } from "../config/model_check.ts";
import { prepareDataset, type PrepareProgress } from "../data/prepare_dataset.ts";
import { createSampler, type Sampler } from "../data/sampler.ts";
import type { ModelDescription } from "../models/model.ts";
import { describeModel } from "../models/registry.ts";
import { layerCosts } from "../pipeline/layer_costs.ts";
import { balance } from "../pipeline/partition.ts";
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

/** Reads config.json of the configured model and checks the configuration against it. */
export function describeConfigured(config: TrainConfig): ModelDescription {
  const model = describeModel(readModelConfig(config.model_path));
  checkModel(config, {
    layerCount: model.layers.length,
    ...(model.maxPositions === undefined ? {} : { maxPositions: model.maxPositions }),
  });
  return model;
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
  onProgress?: (progress: PrepareProgress) => void,
): Promise<PreparedRun> {
  const data = await prepareDataset({
    dataPath: config.data_path,
    modelPath: config.model_path,
    maxSeqLen: config.max_seq_len,
    packing: config.packing,
    onProgress,
  });
  const steps = samplerOf(config, data.rows).steps(config.n_epoches);
  if (steps === 0) {
    throw new ConfigError([
      `Cannot train on ${config.data_path} as a step needs train_batch_size = ` +
      `${config.train_batch_size} rows: ${config.n_epoches} epochs have ` +
      `${config.n_epoches * data.rows} (${config.source("train_batch_size")})`,
    ]);
  }
  const parts = partsOf(config, model);
  const memory = parts.map((_, p) => planRank(config, stageSpec(config, model, parts, p), p));
  return {
    plan: {
      config: { values: config.values, file: config.file },
      parts,
      dataset: data.path,
      steps,
      id: crypto.randomUUID().replaceAll("-", "").slice(0, 12),
    },
    model,
    memory,
    rows: data.rows,
    samples: data.samples,
    isCached: data.isCached,
  };
}
