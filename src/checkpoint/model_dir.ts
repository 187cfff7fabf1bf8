/** What is in a model directory, before any tensor file is opened. @module */
import { dirname, join, resolve } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { statOrNone } from "../formats/file_bytes.ts";

/** `layer_07-model_states.safetensors`, or DeepSpeed's name when there is a third axis of size 1. */
const LAYER_FILE = /^layer_(\d{2,})(?:-model_(\d{2,}))?-model_states\.(safetensors|pt)$/;

/** The files of a model directory by their use. */
export type ModelFiles =
  | { layout: "hf"; /** Index of the shards, or the one file. */ entry: string; isIndex: boolean }
  | { layout: "pipeline"; /** File name of each layer. */ layers: Map<number, string> };

/**
 * Finds the weights of a directory: layer files first, then safetensors, then PyTorch files.
 *
 * @returns undefined when there are none
 * @throws {ConfigError} On layer files of a model that is split within its layers
 */
export function findModelFiles(dir: string): ModelFiles | undefined {
  return modelFilesAmong(listFiles(dir), dir);
}

/** Finds the weights among the names of the files in `dir`, which need not be there yet. */
export function modelFilesAmong(names: readonly string[], dir: string): ModelFiles | undefined {
  const layers = new Map<number, string>();
  for (const name of names) {
    const [, layer, slice, kind] = LAYER_FILE.exec(name) ?? [];
    if (layer === undefined) continue;
    if (slice !== undefined && Number(slice) !== 0) {
      throw new ConfigError(
        `Cannot read ${join(dir, name)} as layers must be whole: this model is split within layers`,
      );
    }
    if (kind === "safetensors" || !layers.has(Number(layer))) layers.set(Number(layer), name);
  }
  if (layers.size > 0) return { layout: "pipeline", layers };
  for (const entry of ["model.safetensors", "pytorch_model.bin"]) {
    for (const isIndex of [true, false]) {
      const name = isIndex ? `${entry}.index.json` : entry;
      if (names.includes(name)) return { layout: "hf", entry: name, isIndex };
    }
  }
  return undefined;
}

/**
 * Finds the directory that holds the model: the one given or, for the output of a training run, be
 * it ours or DeepSpeed's, the one that its file `latest` names.
 *
 * @throws {ConfigError} If it is no directory, `latest` does not name one inside it, or there are
 *   checkpoints but no `latest`
 */
export function resolveModelDir(dir: string): string {
  const names = listFiles(dir);
  if (findModelFiles(dir)) return dir;
  if (!names.includes("latest")) {
    if (!names.includes("config.json")) refuseChoice(dir);
    return dir;
  }
  const tag = Deno.readTextFileSync(join(dir, "latest")).trim();
  const target = join(dir, tag);
  if (/^[\w.-]+$/.test(tag) && tag !== ".." && tag !== "." && isDirectory(target)) return target;
  throw new ConfigError(
    `Cannot read ${join(dir, "latest")} as it must name a directory beside it: ` +
      `current text is ${JSON.stringify(tag.slice(0, 80))}`,
  );
}

/**
 * Finds the directory that holds config.json and the tokenizer of a model: that of its weights or,
 * for layer files without a config.json as DeepSpeed leaves them, the one above.
 *
 * @throws {ConfigError} As {@linkcode resolveModelDir} does
 */
export function resolveConfigDir(dir: string): string {
  const root = resolveModelDir(dir);
  const above = dirname(resolve(root));
  const isAbove = !isFile(join(root, "config.json")) && isFile(join(above, "config.json")) &&
    findModelFiles(root)?.layout === "pipeline";
  return isAbove ? above : root;
}

/**
 * Reads the config.json of a model directory; its keys are checked by those who use them.
 *
 * @throws {ConfigError} If it is missing or not a JSON object
 */
export function readModelConfig(dir: string): Record<string, unknown> {
  return readJsonObject(join(resolveConfigDir(dir), "config.json"));
}

/** Checkpoints of which none is named: which one is meant, only the user knows. */
function refuseChoice(dir: string): void {
  const tags = [...Deno.readDirSync(dir)].map(({ name }) => name)
    .filter((name) => /^(global_step|step_)\d+$|^checkpoint_final$/.test(name)).sort();
  if (tags.length === 0) return;
  throw new ConfigError(
    `Cannot choose a checkpoint of ${dir} as it has no file latest that names one: give one of ` +
      tags.map((tag) => join(dir, tag)).join(", "),
  );
}

/** Parses a JSON file that must hold an object. @throws {ConfigError} If it does not */
export function readJsonObject(path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(Deno.readTextFileSync(path));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new ConfigError(`Cannot read ${path}: there is no such file`);
    }
    throw new ConfigError(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new ConfigError(`Cannot read ${path} as it must be a JSON object`);
}

/** Names of the files in a directory, links to files included, sorted. */
export function listFiles(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)]
      .filter((entry) => entry.isFile || entry.isSymlink && isFile(join(dir, entry.name)))
      .map((entry) => entry.name).sort();
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new ConfigError(`Cannot read ${dir}: there is no such directory`);
    }
    throw new ConfigError(`Cannot read ${dir}: ${(cause as Error).message}`, { cause });
  }
}

function isFile(path: string): boolean {
  return statOrNone(path)?.isFile ?? false;
}

function isDirectory(path: string): boolean {
  return statOrNone(path)?.isDirectory ?? false;
}
