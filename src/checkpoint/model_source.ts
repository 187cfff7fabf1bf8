/** A model directory as its layers, in whichever layout and format it is. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { FormatError } from "../formats/format_error.ts";
import type { StoredTensor } from "../formats/tensor_file.ts";
import { LayerNames } from "./layer_names.ts";
import { findModelFiles, readJsonObject, resolveConfigDir, resolveModelDir } from "./model_dir.ts";
import { type OpenTensors, openTensors, type TensorPlace } from "./open_tensors.ts";
import { requirePlainWeights } from "./quantization.ts";

export { readModelConfig } from "./model_dir.ts";

/** A tensor of a layer: what it is and which file holds it. */
export interface ModelEntry extends StoredTensor {
  /** The file. */
  readonly file: string;
  /** Bytes of all elements. */
  readonly bytes: number;
}

/** An open model directory. No tensor is in memory. */
export interface ModelSource extends Disposable {
  /** The directory with the weights. */
  readonly dir: string;
  /** The directory with config.json and the tokenizer, most often the same. */
  readonly configDir: string;
  /** Hugging Face files, or a file per layer. */
  readonly layout: "hf" | "pipeline";
  /** The parsed config.json. */
  readonly config: Record<string, unknown>;
  /** `model_type` of config.json. */
  readonly family: string;
  /** Embedding, L blocks and head: L + 2. */
  readonly layerCount: number;
  /** Whether the head's matrix is that of the embedding. */
  readonly tied: boolean;
  /** Names inside the layer file of the tensors that the model has. */
  names(layer: number): string[];
  /** Type, shape and place of a tensor. @throws {ConfigError} If the model has none such */
  entry(layer: number, name: string): ModelEntry;
  /** Reads a tensor as it is stored. @throws {ConfigError} If its file is damaged */
  read(layer: number, name: string, into: Uint8Array): void;
  /** Reads a tensor in small pieces, each valid until the next one is taken. */
  chunks(layer: number, name: string): Iterable<Uint8Array>;
  /** The Hugging Face name of a tensor; that of the embedding for a tied head. */
  hfName(layer: number, name: string): string;
  /** Where the tensor of a Hugging Face name stands, if the family has it. */
  layerName(hfName: string): { layer: number; name: string } | undefined;
}

/**
 * Opens a model directory: Hugging Face layout (safetensors or PyTorch files, one or sharded),
 * pipeline layout (a file per layer), or the output of a training run, whose file `latest` is
 * followed. All headers are checked; every tensor that config.json asks for is there and no other.
 *
 * @throws {ConfigError} Naming the files and tensors that are missing, damaged or left over
 */
export function openModel(dir: string): ModelSource {
  const root = resolveModelDir(dir);
  const configDir = resolveConfigDir(root);
  const configPath = join(configDir, "config.json");
  const config = readJsonObject(configPath);
  requirePlainWeights(config, configPath);
  const names = new LayerNames(config, configPath);
  const files = findModelFiles(root);
  if (!files) {
    throw new ConfigError(
      `Cannot find a model in ${root} as it must hold model.safetensors, pytorch_model.bin, ` +
        `one of their indexes, or layer_00-model_states.safetensors and its like`,
    );
  }
  const tensors = openTensors(root, files, names);
  return new OpenModel(root, configDir, files.layout, config, names, tensors);
}

class OpenModel implements ModelSource {
  readonly family: string;
  readonly layerCount: number;
  readonly tied: boolean;
  readonly #names: LayerNames;
  readonly #tensors: OpenTensors;

  constructor(
    readonly dir: string,
    readonly configDir: string,
    readonly layout: "hf" | "pipeline",
    readonly config: Record<string, unknown>,
    names: LayerNames,
    tensors: OpenTensors,
  ) {
    this.#names = names;
    this.#tensors = tensors;
    this.family = names.family;
    this.layerCount = names.layers.length;
    this.tied = names.tied;
  }

  names(layer: number): string[] {
    return [...this.#tensors.layers[layer].keys()];
  }

  entry(layer: number, name: string): ModelEntry {
    const { file, tensor: { dtype, shape, byteLength } } = this.#find(layer, name);
    return { dtype, shape, byteLength, bytes: byteLength, file: file.path };
  }

  read(layer: number, name: string, into: Uint8Array): void {
    const place = this.#find(layer, name);
    if (place.range === undefined) {
      asConfigError(() => place.file.read(place.name, into));
      return;
    }
    let at = 0;
    for (const piece of this.chunks(layer, name)) {
      into.set(piece, at);
      at += piece.length;
    }
  }

  *chunks(layer: number, name: string): Generator<Uint8Array> {
    const place = this.#find(layer, name);
    const pieces = place.file.chunks(place.name, place.range)[Symbol.iterator]();
    for (;;) {
      const piece = asConfigError(() => pieces.next());
      if (piece.done) return;
      yield piece.value;
    }
  }

  hfName(layer: number, name: string): string {
    const hfName = this.#names.hfName(layer, name);
    if (hfName !== undefined) return hfName;
    throw new RangeError(`Cannot name ${name} of layer ${layer}: ${this.family} has none such`);
  }

  layerName(hfName: string): { layer: number; name: string } | undefined {
    const tensor = this.#names.layerName(hfName);
    return tensor && { layer: tensor.layer, name: tensor.name };
  }

  [Symbol.dispose](): void {
    for (const file of this.#tensors.files) file.close();
  }

  #find(layer: number, name: string): TensorPlace {
    const place = this.#tensors.layers[layer]?.get(name);
    if (place) return place;
    throw new ConfigError(`Cannot find ${name} of layer ${layer} in ${this.dir}`);
  }
}

/** A damaged model file is what the user gave us. */
function asConfigError<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof FormatError) throw new ConfigError(error.message, { cause: error });
    throw error;
  }
}
