/** Saving the state of a run, and going on from it. @module */
import { pruneCheckpoints } from "../checkpoint/save_path.ts";
import {
  CheckpointWriter,
  openTrainingCheckpoint,
  stepName,
} from "../checkpoint/training_checkpoint.ts";
import { ConfigError } from "../config/config_error.ts";
import type { Communicator } from "../comm/communicator.ts";
import type { StoredType, TensorData } from "../formats/tensor_file.ts";
import { loadWeights } from "../models/load_weights.ts";
import type { LossScale, LossScaleState } from "../optim/loss_scale.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Stage } from "../pipeline/engine.ts";
import type { Device } from "../tensor/device.ts";
import { BYTES_PER_ELEMENT } from "../tensor/dtype.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Name of the checkpoint at the end of a run. */
export const FINAL_NAME = "checkpoint_final";

/** Types of weights by their safetensors name. */
const STORED: Record<string, StoredType> = { f32: "F32", bf16: "BF16", f16: "F16" };

/** What a rank saves and restores. */
export interface SavedParts {
  /** Its device. */
  device: Device;
  /** Its stage. */
  stage: Stage;
  /** Its optimizer. */
  optimizer: Optimizer;
  /** Its loss scale, in fp16. */
  lossScale?: LossScale | undefined;
}

/** Where and what a run saves. */
export interface SaverOptions extends SavedParts {
  /** All ranks. */
  world: Communicator;
  /** Only one replica writes. */
  writes: boolean;
  /** Output directory of the run. */
  savePath: string;
  /** Letters and digits that no other run uses. */
  id: string;
  /** Model directory whose config.json and tokenizer travel along. */
  modelDir: string;
  /** Further text files by name. */
  files: Record<string, string>;
  /** Periodic checkpoints to keep; 0 for all. */
  keepLast: number;
}

/** Writes checkpoints; every rank takes part in every save. */
export class Saver {
  readonly #options: SaverOptions;

  /** A saver of one rank. */
  constructor(options: SaverOptions) {
    this.#options = options;
  }

  /**
   * Saves the state after `step` steps.
   *
   * @param isFinal The run ends here
   */
  async save(step: number, { isFinal }: { isFinal: boolean }): Promise<void> {
    const { world, writes, savePath, id, optimizer, lossScale, modelDir, files } = this.#options;
    const { stage, keepLast } = this.#options;
    const writer = new CheckpointWriter({
      savePath,
      name: isFinal ? FINAL_NAME : stepName(step),
      id,
    });
    const layers = writes ? this.#layers() : [];
    const own = layers.flatMap(({ weights, moments }) => [...weights, ...moments]);
    const [bytes] = world.reduceNumbers([own.reduce((sum, { tensor }) => sum + tensor.bytes, 0)]);
    if (world.rank === 0) writer.begin(bytes);
    world.barrier();
    for (const { layer, weights, moments } of layers) {
      await writer.writeWeights(layer, weights.map((entry) => this.#data(entry)));
      await writer.writeOptimizer(layer, moments.map((entry) => this.#data(entry)));
    }
    await writer.flush();
    world.barrier();
    if (world.rank === 0) {
      writer.commit({
        step,
        state: { updates: optimizer.updates, lossScale: lossScale?.state ?? null },
        modelDir,
        weightsType: STORED[stage.spec.dtype],
        files,
      });
      if (keepLast > 0) pruneCheckpoints(savePath, keepLast);
    }
    world.barrier();
  }

  /** The tensors of each layer of the stage; a tied parameter stands in each of its layers. */
  #layers() {
    const { stage, optimizer } = this.#options;
    const { model, from, to } = stage.spec;
    return model.layers.slice(from, to).map((specs, i) => {
      const layer = from + i;
      const parameters = specs.map(({ name }) => ({
        name,
        parameter: stage.store.get(layer, name),
      }));
      return {
        layer,
        weights: parameters.map(({ name, parameter }) => ({ name, tensor: parameter.weight })),
        moments: parameters.flatMap(({ name, parameter }) => momentsOf(optimizer, parameter, name)),
      };
    });
  }

  #data({ name, tensor }: NamedTensor): TensorData {
    const { device } = this.#options;
    const dtype = STORED[tensor.dtype];
    return { name, dtype, shape: [...tensor.shape], chunks: () => device.chunks(tensor) };
  }
}

/**
 * Loads weights, optimizer state and counters of a checkpoint, whichever stages wrote it.
 *
 * @returns Optimizer steps done
 * @throws {ConfigError} Naming what is missing, damaged or of another shape
 */
export function restore(dir: string, { device, stage, optimizer, lossScale }: SavedParts): number {
  using checkpoint = openTrainingCheckpoint(dir);
  const { from, to } = stage.spec;
  for (let layer = from; layer < to; layer++) checkpoint.verify(layer);
  loadWeights(device, stage.store, checkpoint.model);
  for (const parameter of stage.store.parameters) {
    const file = checkpoint.optimizer(parameter.layer);
    for (const { name, tensor } of momentsOf(optimizer, parameter, parameter.spec.name)) {
      const found = file.tensors.get(name);
      if (!found || found.dtype !== "F32" || `${found.shape}` !== `${tensor.shape}`) {
        throw new ConfigError([
          `Cannot go on from ${dir} as layer ${parameter.layer} must hold ${name} ` +
          `[${tensor.shape.join(", ")}] F32: was it trained with another optimizer?`,
        ]);
      }
      let first = 0;
      for (const bytes of file.chunks(name)) {
        const piece = tensor.view(first, [bytes.length / BYTES_PER_ELEMENT.f32]);
        device.upload(piece, bytes);
        first += piece.size;
      }
    }
  }
  const { updates, lossScale: scale } = checkpoint.state as {
    updates: number;
    lossScale: LossScaleState | null;
  };
  optimizer.restore(updates);
  if (scale) lossScale?.restore(scale);
  return checkpoint.step;
}

interface NamedTensor {
  name: string;
  tensor: Tensor;
}

/** The optimizer state of a parameter, named as torch's optimizers name it. */
function momentsOf(optimizer: Optimizer, parameter: Parameter, name: string): NamedTensor[] {
  const { master, expAvg, expAvgSq } = optimizer.state(parameter);
  return [
    { name: `master.${name}`, tensor: master },
    { name: `exp_avg.${name}`, tensor: expAvg },
    ...(expAvgSq ? [{ name: `exp_avg_sq.${name}`, tensor: expAvgSq }] : []),
  ];
}
