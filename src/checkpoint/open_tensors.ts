/** Opens the tensor files of a model directory as one, and says what does not fit. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { openTensorFile } from "../formats/open_tensor_file.ts";
import type { ByteRange, StoredTensor, TensorFile } from "../formats/tensor_file.ts";
import type { LayerNames } from "./layer_names.ts";
import { unstack } from "./unstack.ts";
import type { ModelFiles } from "./model_dir.ts";
import { compareShard, describeOpenError, listNames, readShardIndex } from "./shard_index.ts";

/** A tensor and the file that holds it. */
export interface TensorPlace {
  /** The open file. */
  readonly file: TensorFile;
  /** Name in that file. */
  readonly name: string;
  /** Type, shape and bytes. */
  readonly tensor: StoredTensor;
  /** Which bytes of the tensor in the file, if it holds others too. */
  readonly range?: ByteRange;
}

/** All tensors of a model, by layer and name inside the layer. */
export interface OpenTensors {
  /** The open files. */
  readonly files: readonly TensorFile[];
  /** Tensors of each layer, in the order of the name tables. */
  readonly layers: readonly ReadonlyMap<string, TensorPlace>[];
}

/**
 * Opens every file of a model. Each tensor must be there and none may be left over.
 *
 * @throws {ConfigError} With all that is missing, damaged or left over
 */
export function openTensors(dir: string, files: ModelFiles, names: LayerNames): OpenTensors {
  const opened: TensorFile[] = [];
  const problems: string[] = [];
  const open = (name: string) => {
    try {
      const file = openTensorFile(join(dir, name));
      opened.push(file);
      return file;
    } catch (error) {
      problems.push(describeOpenError(join(dir, name), error));
      return undefined;
    }
  };
  try {
    const layers = files.layout === "hf"
      ? placeShards(dir, files, names, open, problems)
      : placeLayers(dir, files.layers, names, open, problems);
    if (problems.length) throw new ConfigError(problems);
    return { files: opened, layers };
  } catch (error) {
    for (const file of opened) file.close();
    throw error;
  }
}

type Open = (name: string) => TensorFile | undefined;

function placeLayers(
  dir: string,
  files: ReadonlyMap<number, string>,
  names: LayerNames,
  open: Open,
  problems: string[],
): Map<string, TensorPlace>[] {
  const count = names.layers.length;
  for (const [layer, name] of files) {
    if (layer >= count) {
      problems.push(
        `Cannot use ${join(dir, name)} as config.json makes ${count} layers, 0 to ${count - 1}`,
      );
    }
  }
  return names.layers.map((wanted, layer) => {
    const places = new Map<string, TensorPlace>();
    const name = files.get(layer);
    if (name === undefined) {
      const digits = String(layer).padStart(2, "0");
      problems.push(`Cannot find layer_${digits}-model_states.safetensors (or .pt) in ${dir}`);
      return places;
    }
    const file = open(name);
    if (!file) return places;
    const missing: string[] = [];
    for (const { name, optional } of wanted.values()) {
      const tensor = file.tensors.get(name);
      if (tensor) places.set(name, { file, name, tensor });
      else if (!optional) missing.push(name);
    }
    const extra = [...file.tensors.keys()]
      .filter((name) => !wanted.has(name) && !names.isIgnored(name));
    if (missing.length) problems.push(`Cannot find in ${file.path}: ${listNames(missing)}`);
    if (extra.length) problems.push(leftOver(file.path, extra, names));
    return places;
  });
}

function placeShards(
  dir: string,
  files: ModelFiles & { layout: "hf" },
  names: LayerNames,
  open: Open,
  problems: string[],
): Map<string, TensorPlace>[] {
  const found = new Map<string, TensorPlace>();
  const { shards, incomplete } = files.isIndex
    ? openIndexed(join(dir, files.entry), open, problems)
    : openSingle(files.entry, open);
  for (const file of shards) {
    const extra: string[] = [];
    for (const [name, tensor] of file.tensors) {
      const stack = names.stack(name);
      const places = stack
        ? unstack({ file, name, tensor }, stack)
        : new Map([[names.canonical(name), { file, name, tensor }]]);
      if (typeof places === "string") problems.push(places);
      else {
        for (const [hfName, place] of places) {
          const twin = found.get(hfName);
          if (twin) {
            problems.push(`Cannot use ${name} of ${file.path} as ${twin.file.path} has it too`);
          } else if (names.layerName(hfName)) found.set(hfName, place);
          else if (!names.isIgnored(hfName)) extra.push(name);
        }
      }
    }
    if (extra.length) problems.push(leftOver(file.path, extra, names));
  }
  const missing = [...names.hfNames()]
    .filter((hfName) => !names.layerName(hfName)!.optional && !found.has(hfName));
  if (missing.length && !incomplete) {
    problems.push(`Cannot find in ${join(dir, files.entry)}: ${listNames(missing)}`);
  }
  return names.layers.map((wanted) =>
    new Map(
      [...wanted.values()].flatMap(({ name, hfName }): [string, TensorPlace][] => {
        const place = found.get(hfName);
        return place ? [[name, place]] : [];
      }),
    )
  );
}

/** Open shards; incomplete when one could not be opened, so that its tensors are no news. */
interface Shards {
  shards: TensorFile[];
  incomplete: boolean;
}

function openSingle(name: string, open: Open): Shards {
  const file = open(name);
  return { shards: file ? [file] : [], incomplete: !file };
}

/** The shards of an index; each must hold exactly what the index says. */
function openIndexed(index: string, open: Open, problems: string[]): Shards {
  const shards: TensorFile[] = [];
  let incomplete = false;
  for (const [name, tensors] of readShardIndex(index)) {
    const file = open(name);
    if (!file) {
      incomplete = true;
      continue;
    }
    shards.push(file);
    const difference = compareShard(file, index, tensors);
    if (difference.missing.length) incomplete = true;
    problems.push(...difference.problems);
  }
  return { shards, incomplete };
}

function leftOver(path: string, extra: readonly string[], { family }: LayerNames): string {
  return `Cannot use ${path} as this ${family} model has no tensor named ${listNames(extra)}`;
}
