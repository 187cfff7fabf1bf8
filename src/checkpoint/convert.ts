/** Conversion between the Hugging Face layout and the pipeline layout. @module */
import { join, resolve } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { FileBatch } from "../formats/file_batch.ts";
import { writeTextDurably } from "../formats/file_bytes.ts";
import { writeTensors } from "../formats/safetensors.ts";
import { type StoredType, tensorBytes, type TensorData } from "../formats/tensor_file.ts";
import { writeTorchTensors } from "../formats/torch_writer.ts";
import { type CastLosses, castTensor, type FloatStored, isFloatStored } from "./cast.ts";
import { copyExtraFiles, extraBytes } from "./extra_files.ts";
import { layerFileName, type LayerFormat } from "./layer_file.ts";
import { type ModelSource, openModel } from "./model_source.ts";
import { shardIndex, splitIntoShards } from "./shards.ts";
import { buildDirectory } from "./unfinished_dir.ts";

/** What both directions need. */
export interface ConvertOptions {
  /** Model directory to read. */
  inputPath: string;
  /** Directory to write; it appears when it is complete. */
  savePath: string;
  /** Replace a model that is at `savePath`, and forget a conversion that was begun another way. */
  force?: boolean;
  /** Type of the weights to write; undefined keeps that of each tensor. */
  dtype?: FloatStored | undefined;
  /** Called as bytes are written. */
  onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Throws on a model that nobody could load; called before anything is written. */
  check?: (source: ModelSource) => void;
  /** Stops the conversion between two files. */
  signal?: AbortSignal;
}

/** What the casts of several tensors lost, and what was lost before. */
export interface ConvertLosses {
  /** Finite values that became infinite. */
  overflows: number;
  /** Values other than zero that became zero. */
  underflows: number;
  /** How many values were NaN or infinite, by the Hugging Face names of the tensors with such. */
  notFinite: Record<string, number>;
}

/** What was written, and what its casts lost. Values of tensors that are not cast are not seen. */
export interface ConvertReport extends ConvertLosses {
  /** Files of weights. */
  files: number;
  /** Those that an interrupted conversion had finished before. */
  finishedBefore: number;
  /** Bytes of weights. */
  bytes: number;
}

/** Room for headers, indexes and directories beside the weights. */
const SLACK_BYTES = 16 << 20;

/** A tensor on its way, its size, and what its cast lost once it is written. */
interface Outgoing extends TensorData {
  bytes: number;
  hfName: string;
  losses: CastLosses;
}

/** A file to write. */
interface OutgoingFile {
  name: string;
  tensors: Outgoing[];
}

/**
 * Hugging Face layout to pipeline layout: one file per layer. Tied matrices stand in the first and
 * in the last file. Only pieces of a tensor are in memory.
 *
 * @param options.format `pt` for programs that read with torch.load
 * @throws {ConfigError} On a model that cannot be read or a path that cannot be written
 */
export async function convertToPipeline(
  options: ConvertOptions & { format?: LayerFormat },
): Promise<ConvertReport> {
  const { inputPath, format = "safetensors" } = options;
  using source = openSource(inputPath, "hf");
  return await write(source, options, (tensors) => {
    const files = Array.from({ length: source.layerCount }, (_, layer) => ({
      name: layerFileName(layer, format),
      tensors: source.names(layer).map((name) => tensors(layer, name, name)),
    }));
    return { files };
  });
}

/**
 * Pipeline layout, or the output of a training run, to Hugging Face layout: shards and their index,
 * under the names of the family. The matrix of a tied head is left out.
 *
 * @param options.maxShardBytes Most bytes of tensors in one file
 * @throws {ConfigError} On a model that cannot be read, tied matrices that differ, or a path that
 *   cannot be written
 */
export async function convertToHuggingFace(
  options: ConvertOptions & { maxShardBytes: number },
): Promise<ConvertReport> {
  using source = openSource(options.inputPath, "pipeline");
  if (source.tied) requireEqualEnds(source);
  return await write(source, options, (tensors) => {
    const outgoing = new Map<string, Outgoing>();
    for (let layer = 0; layer < source.layerCount; layer++) {
      for (const name of source.names(layer)) {
        const hfName = source.hfName(layer, name);
        if (!outgoing.has(hfName)) outgoing.set(hfName, tensors(layer, name, hfName));
      }
    }
    const files = splitIntoShards([...outgoing.values()], options.maxShardBytes);
    return { files, ...(files.length > 1 ? { index: shardIndex(files) } : {}) };
  });
}

function openSource(dir: string, layout: "hf" | "pipeline"): ModelSource {
  const source = openModel(dir);
  if (source.layout === layout) return source;
  const { layout: found, dir: root } = source;
  source[Symbol.dispose]();
  const names = { hf: "Hugging Face", pipeline: "pipeline" };
  throw new ConfigError(
    `Cannot convert ${root} as it must be in ${names[layout]} layout: it is in ${
      names[found]
    } layout`,
  );
}

type Tensors = (layer: number, name: string, as: string) => Outgoing;

async function write(
  source: ModelSource,
  options: ConvertOptions,
  plan: (tensors: Tensors) => { files: OutgoingFile[]; index?: string },
): Promise<ConvertReport> {
  const { savePath, dtype, force = false, onProgress, signal } = options;
  if (sameDirectory(savePath, source.dir)) {
    throw new ConfigError(`Cannot write to ${savePath} as the model to convert is there`);
  }
  options.check?.(source);
  const losses = lossesOf([]);
  const batch = new FileBatch();
  let done = 0;
  const { files, index } = plan((layer, name, as) => {
    const tensor = outgoing(source, layer, name, as, dtype);
    return { ...tensor, chunks: () => counted(tensor.chunks()) };
  });
  const bytes = sumBytes(files.flatMap(({ tensors }) => tensors));
  function* counted(chunks: Iterable<Uint8Array>): Generator<Uint8Array> {
    for (const chunk of chunks) {
      yield chunk;
      batch.advance(chunk.length);
      done += chunk.length;
      onProgress?.(done, bytes);
    }
  }
  const output = {
    force,
    plan: describePlan(source, files),
    bytes: bytes + extraBytes(source.configDir) + SLACK_BYTES,
  };
  return await buildDirectory<ConvertReport, ConvertLosses>(
    savePath,
    output,
    async (unfinished) => {
      const { dir, finished, finish } = unfinished;
      const finishedBefore = finished.size;
      try {
        for (const { name, tensors } of files) {
          const before = finished.get(name);
          if (before) {
            add(losses, before);
            done += sumBytes(tensors);
            continue;
          }
          const write = (file: Deno.FsFile) => writeFile(file, name, tensors);
          await batch.write(join(dir, name), write, () => finish(name, lossesOf(tensors)));
          add(losses, lossesOf(tensors));
          signal?.throwIfAborted();
        }
      } finally {
        await batch.flush();
      }
      copyExtraFiles(source.configDir, dir, commonType(files));
      if (index !== undefined) writeTextDurably(join(dir, "model.safetensors.index.json"), index);
      return { files: files.length, finishedBefore, bytes, ...losses };
    },
  );
}

/** What the bytes of the files follow from; sources are known by place, size and time. */
function describePlan(source: ModelSource, files: readonly OutgoingFile[]): string {
  const read = new Set<string>();
  for (let layer = 0; layer < source.layerCount; layer++) {
    for (const name of source.names(layer)) read.add(source.entry(layer, name).file);
  }
  const sources = [...read].map((path) => {
    const { size, mtime } = Deno.statSync(path);
    return [Deno.realPathSync(path), size, Number(mtime)];
  });
  const written = files.map(({ name, tensors }) => [
    name,
    tensors.map(({ name, dtype, shape }) => [name, dtype, shape]),
  ]);
  return JSON.stringify({ sources, written });
}

function lossesOf(tensors: readonly Outgoing[]): ConvertLosses {
  const sum: ConvertLosses = { overflows: 0, underflows: 0, notFinite: {} };
  for (const { hfName, losses: { overflows, underflows, notFinite } } of tensors) {
    add(sum, { overflows, underflows, notFinite: notFinite ? { [hfName]: notFinite } : {} });
  }
  return sum;
}

function add(sum: ConvertLosses, losses: ConvertLosses): void {
  sum.overflows += losses.overflows;
  sum.underflows += losses.underflows;
  Object.assign(sum.notFinite, losses.notFinite); // both ends of a tied matrix are one tensor
}

function writeFile(file: Deno.FsFile, name: string, tensors: readonly TensorData[]): void {
  if (name.endsWith(".pt")) writeTorchTensors(file, tensors);
  else writeTensors(file, tensors);
}

function outgoing(
  source: ModelSource,
  layer: number,
  name: string,
  as: string,
  dtype: FloatStored | undefined,
): Outgoing {
  const entry = source.entry(layer, name);
  const stored: TensorData = {
    name: as,
    dtype: entry.dtype,
    shape: entry.shape,
    chunks: () => source.chunks(layer, name),
  };
  const losses: CastLosses = { overflows: 0, underflows: 0, notFinite: 0 };
  const tensor = dtype && isFloatStored(entry.dtype) ? castTensor(stored, dtype, losses) : stored;
  return {
    ...tensor,
    bytes: tensorBytes(tensor.dtype, tensor.shape)!,
    hfName: source.hfName(layer, name),
    losses,
  };
}

/** The one type of all weights, if they have one. */
function commonType(files: readonly OutgoingFile[]): StoredType | undefined {
  const types = new Set(files.flatMap(({ tensors }) => tensors.map(({ dtype }) => dtype)));
  return types.size === 1 ? [...types][0] : undefined;
}

/** The two copies of a tied matrix must be one: a Hugging Face file has room for one only. */
function requireEqualEnds(source: ModelSource): void {
  const last = source.layerCount - 1;
  const name = source.names(last).find((name) =>
    source.layerName(source.hfName(last, name))?.layer === 0
  );
  if (name === undefined) return;
  const first = source.layerName(source.hfName(last, name))!;
  const a = source.chunks(0, first.name)[Symbol.iterator]();
  const b = source.chunks(last, name)[Symbol.iterator]();
  for (let x = a.next(), y = b.next(); !x.done || !y.done; x = a.next(), y = b.next()) {
    if (x.done || y.done || !equalBytes(x.value, y.value)) {
      throw new ConfigError(
        `Cannot convert ${source.dir} as config.json ties head and embedding, which must be equal: ` +
          `${name} of ${source.entry(last, name).file} differs from ${first.name} of ` +
          `${source.entry(0, first.name).file} (tie_word_embeddings: false keeps both)`,
      );
    }
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function sumBytes(tensors: readonly Outgoing[]): number {
  return tensors.reduce((sum, { bytes }) => sum + bytes, 0);
}

function sameDirectory(a: string, b: string): boolean {
  const real = (path: string) => {
    try {
      return Deno.realPathSync(path);
    } catch {
      return resolve(path);
    }
  };
  return real(a) === real(b);
}
