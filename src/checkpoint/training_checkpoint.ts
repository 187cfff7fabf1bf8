/**
 * Training checkpoints: a directory with the model in pipeline layout, the optimizer's state per
 * layer, and `trainer_state.json`. Any number of stages can read what any other wrote.
 *
 * Saving is a collective act: rank 0 calls `begin`; after a barrier every rank writes the layers it
 * holds and calls `flush`; after another barrier rank 0 calls `commit`. Until then the directory has
 * a temporary name, so that a checkpoint is either complete or not there.
 *
 * @module
 */
import { basename, join } from "@std/path";
import { crc32 } from "node:zlib";
import { ConfigError } from "../config/config_error.ts";
import { FileBatch } from "../formats/file_batch.ts";
import { nameFile, syncPath, writeTextDurably } from "../formats/file_bytes.ts";
import { openSafetensors, writeTensors } from "../formats/safetensors.ts";
import type { StoredType, TensorData, TensorFile } from "../formats/tensor_file.ts";
import { copyExtraFiles } from "./extra_files.ts";
import { layerFileName } from "./layer_file.ts";
import { readJsonObject, resolveConfigDir } from "./model_dir.ts";
import { type ModelSource, openModel } from "./model_source.ts";
import { putInPlace, removeTree, requireFreeSpace } from "./output_dir.ts";
import {
  formatTrainerState,
  readTrainerState,
  STATE_FILE,
  type TrainerState,
  type WrittenFile,
} from "./trainer_state.ts";

/** Which checkpoint to write. All ranks give the same. */
export interface CheckpointName {
  /** Output directory of the run. */
  savePath: string;
  /** `step_000020` or `checkpoint_final`. */
  name: string;
  /** Letters and digits that no other run uses. */
  id: string;
}

/** What rank 0 adds to the layers. */
export interface CheckpointDetails {
  /** Optimizer steps done. */
  step: number;
  /** Whatever the trainer needs to go on. */
  state: Record<string, unknown>;
  /** Model directory whose config.json, tokenizer and other small files are copied. */
  modelDir: string;
  /** Type of the weights, for config.json. */
  weightsType: StoredType;
  /** Further text files by name, such as the resolved configuration of the run. */
  files?: Record<string, string>;
}

/** Bytes beside the tensors: headers, state, tokenizer. */
const SLACK_BYTES = 64 << 20;

/** `step_000020`. */
export function stepName(step: number): string {
  return `step_${String(step).padStart(6, "0")}`;
}

/** `layer_07-optim_states.safetensors`. */
export function optimizerFileName(layer: number): string {
  return `layer_${String(layer).padStart(2, "0")}-optim_states.safetensors`;
}

/** Writes one checkpoint, together with the writers of the other ranks. */
export class CheckpointWriter {
  /** The temporary directory. */
  readonly dir: string;
  /** The directory that the checkpoint will be. */
  readonly target: string;
  readonly #savePath: string;
  readonly #batch = new FileBatch();

  /** Prepares to write; nothing is written yet. */
  constructor({ savePath, name, id }: CheckpointName) {
    this.#savePath = savePath;
    this.target = join(savePath, name);
    this.dir = `${this.target}.tmp-${id}`;
  }

  /**
   * Rank 0: makes the temporary directory.
   *
   * @param bytes Bytes of all tensors that all ranks will write
   * @throws {ConfigError} If the disk has too little room for them
   */
  begin(bytes: number): void {
    requireFreeSpace(this.#savePath, bytes + SLACK_BYTES);
    removeTree(this.dir);
    Deno.mkdirSync(this.dir);
  }

  /** Writes the weights of a layer, named as in the pipeline layout, in the model's type. */
  async writeWeights(layer: number, tensors: Iterable<TensorData>): Promise<void> {
    await this.#write(layerFileName(layer), tensors);
  }

  /** Writes the optimizer's state of a layer: f32 `master.NAME`, `exp_avg.NAME` and so on. */
  async writeOptimizer(layer: number, tensors: Iterable<TensorData>): Promise<void> {
    await this.#write(optimizerFileName(layer), tensors);
  }

  /** Waits until all that this rank wrote is on the disk. */
  async flush(): Promise<void> {
    await this.#batch.flush();
  }

  /**
   * Rank 0, when all ranks have flushed: adds what else belongs there, gives the directory its name
   * and lets `latest` name it.
   *
   * @returns The directory of the checkpoint
   */
  commit({ step, state, modelDir, weightsType, files = {} }: CheckpointDetails): string {
    const written: Record<string, WrittenFile> = {};
    const receipts = [...Deno.readDirSync(this.dir)]
      .map(({ name }) => name).filter((name) => name.endsWith(RECEIPT)).sort();
    for (const name of receipts) {
      const path = join(this.dir, name);
      written[name.slice(0, -RECEIPT.length)] = readJsonObject(path) as unknown as WrittenFile;
      Deno.removeSync(path);
    }
    copyExtraFiles(resolveConfigDir(modelDir), this.dir, weightsType);
    for (const [name, text] of Object.entries(files)) writeTextDurably(join(this.dir, name), text);
    const trainer = { step, savedAt: Date.now(), state, files: written };
    writeTextDurably(join(this.dir, STATE_FILE), formatTrainerState(trainer));
    syncPath(this.dir);
    putInPlace(this.dir, this.target);
    writeTextDurably(join(this.#savePath, "latest"), basename(this.target));
    return this.target;
  }

  /** Removes what was written, after an error. Earlier checkpoints are as they were. */
  abort(): void {
    removeTree(this.dir);
  }

  async #write(name: string, tensors: Iterable<TensorData>): Promise<void> {
    const path = join(this.dir, name);
    const written = await this.#batch.write(path, (file) => writeChecked(file, tensors));
    try {
      Deno.writeTextFileSync(path + RECEIPT, JSON.stringify(written));
    } catch (error) {
      throw nameFile(path, error);
    }
  }
}

function writeChecked(file: Deno.FsFile, tensors: Iterable<TensorData>): WrittenFile {
  let checksum = 0;
  const bytes = writeTensors(file, tensors, {
    onBytes: (piece) => checksum = crc32(piece, checksum),
  });
  return { bytes, crc32: checksum };
}

/** Beside each file until the commit: its size and checksum, from the rank that wrote it. */
const RECEIPT = ".written";

/** An open training checkpoint. */
export interface TrainingCheckpoint extends Disposable {
  /** The directory. */
  readonly dir: string;
  /** Optimizer steps done. */
  readonly step: number;
  /** What the trainer stored. */
  readonly state: Readonly<Record<string, unknown>>;
  /** The weights. */
  readonly model: ModelSource;
  /** The optimizer's state of a layer. */
  optimizer(layer: number): TensorFile;
  /**
   * Compares the checksums of a layer's files; call it before they are used.
   *
   * @throws {ConfigError} Naming the file that is damaged
   */
  verify(layer: number): void;
}

/**
 * Opens a training checkpoint. All files are there in full size; see
 * {@linkcode TrainingCheckpoint.verify} for their contents.
 *
 * @throws {ConfigError} Naming what is missing or damaged
 */
export function openTrainingCheckpoint(dir: string): TrainingCheckpoint {
  return new OpenCheckpoint(dir, readTrainerState(dir), openModel(dir));
}

class OpenCheckpoint implements TrainingCheckpoint {
  readonly step: number;
  readonly state: Readonly<Record<string, unknown>>;
  readonly #files: Readonly<Record<string, WrittenFile>>;
  readonly #open = new Map<number, TensorFile>();

  constructor(readonly dir: string, trainer: TrainerState, readonly model: ModelSource) {
    this.step = trainer.step;
    this.state = trainer.state;
    this.#files = trainer.files;
  }

  optimizer(layer: number): TensorFile {
    const open = this.#open.get(layer) ?? openSafetensors(join(this.dir, optimizerFileName(layer)));
    this.#open.set(layer, open);
    return open;
  }

  verify(layer: number): void {
    for (const name of [layerFileName(layer), optimizerFileName(layer)]) {
      const path = join(this.dir, name);
      const expected = this.#files[name];
      if (!expected) throw new ConfigError(`Cannot use ${path} as ${STATE_FILE} does not name it`);
      if (checksum(path) !== expected.crc32) {
        throw new ConfigError(`Cannot use ${path} as its checksum must be that of ${STATE_FILE}`);
      }
    }
  }

  [Symbol.dispose](): void {
    this.model[Symbol.dispose]();
    for (const file of this.#open.values()) file.close();
  }
}

function checksum(path: string): number {
  using file = Deno.openSync(path);
  const buffer = new Uint8Array(1 << 20);
  let crc = 0;
  for (let got = file.readSync(buffer); got !== null; got = file.readSync(buffer)) {
    crc = crc32(buffer.subarray(0, got), crc);
  }
  return crc;
}
