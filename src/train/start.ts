/** Where a run begins, and whether a checkpoint fits what is configured. @module */
import { dirname, join, resolve } from "@std/path";
import { findLatest } from "../checkpoint/save_path.ts";
import { openTrainingCheckpoint } from "../checkpoint/training_checkpoint.ts";
import { readTrainerState } from "../checkpoint/trainer_state.ts";
import { ConfigError } from "../config/config_error.ts";
import { loadConfig, type TrainConfig } from "../config/load.ts";
import { checkWeights } from "../models/load_weights.ts";
import type { ModelDescription } from "../models/model.ts";

/** The file of a checkpoint that holds the configuration it was trained with. */
export const CONFIG_FILE = "train_config.yml";

/** Where a run begins. */
export interface Start {
  /** The checkpoint to go on from; undefined for a fresh start. */
  dir?: string | undefined;
  /** Whether the save path may hold an earlier part of this run. */
  isInside: boolean;
  /** Why newer checkpoints cannot be used. */
  passedOver: string[];
}

/** Keys that may change from one start of a run to the next: they do not change what it learns. */
const FREE = new Set([
  ...["device", "threads", "steps_per_print", "schedule", "virtual_stages", "attention"],
  ...["use_flash_attn", "use_grad_ckpt", "save_path", "save_every_n_steps", "keep_last_n"],
  ...["max_restarts", "log_path", "model_path", "from_scratch", "dataloader_drop_last"],
]);

/**
 * Finds where a run begins.
 *
 * @param resume `auto`, a checkpoint, or undefined for a fresh start
 * @throws {ConfigError} If the checkpoint is none; with `auto`, if there are some and none is complete
 */
export function findStart(config: TrainConfig, resume: string | undefined): Start {
  if (resume === undefined) return { isInside: false, passedOver: [] };
  if (resume !== "auto") {
    readTrainerState(resume);
    const isInside = resolve(dirname(resolve(resume))) === resolve(config.save_path);
    return { dir: resume, isInside, passedOver: [] };
  }
  const { dir, passedOver } = findLatest(config.save_path);
  if (dir === undefined && passedOver.length > 0) {
    throw new ConfigError([
      `Cannot go on in ${config.save_path} as none of its checkpoints is complete: repair one, or ` +
      `choose another save_path to start anew`,
      ...passedOver,
    ]);
  }
  return { dir, isInside: true, passedOver };
}

/**
 * Checks that a checkpoint is of the configured model and optimizer, by the headers of its files.
 *
 * @returns What is worth a warning, one sentence each
 * @throws {ConfigError} Naming what does not fit
 */
export function checkResume(dir: string, config: TrainConfig, model: ModelDescription): string[] {
  {
    using checkpoint = openTrainingCheckpoint(dir);
    checkWeights(model, checkpoint.model);
  }
  const before = configOf(dir);
  if (before === undefined) return [];
  const [was, is] = [before.optimizer.type, config.optimizer.type];
  if (was !== is) {
    throw new ConfigError(
      `Cannot go on from ${dir} with ${is} as its state is that of ${was}: current optimizer.type ` +
        `is ${is} (${config.source("optimizer.type")})`,
    );
  }
  const old = new Map(leaves(before.values));
  const changes = leaves(config.values).flatMap(([path, value]) =>
    value === old.get(path) ? [] : [`${path} is ${value}, was ${old.get(path) ?? "absent"}`]
  );
  if (changes.length === 0) return [];
  return [`The checkpoint was trained with other settings: ${changes.join("; ")}`];
}

/** The configuration of a checkpoint; undefined where it has none that can be read today. */
function configOf(dir: string): TrainConfig | undefined {
  try {
    return loadConfig(join(dir, CONFIG_FILE));
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}

/** The values that are not free to change, by path, as JSON. */
function leaves(value: unknown, path = ""): [string, string][] {
  const isMapping = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isMapping) return [[path, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([name, inner]) =>
    path === "" && (FREE.has(name) || name === "model_topo")
      ? []
      : leaves(inner, path === "" ? name : `${path}.${name}`)
  );
}
