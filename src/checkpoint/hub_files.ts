/** Which files of a hub's model are needed. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { TEMPLATES } from "./extra_files.ts";
import { modelFilesAmong, readJsonObject } from "./model_dir.ts";

/** What a model is needed for: its configuration and tokenizer, or its weights as well. */
export type HubNeed = "config" | "weights";

/** Configuration, tokenizer, templates; `config.json` may name the code of a model. */
const COMPANION = /\.(json|jinja|model|tiktoken|py)$|^(vocab|merges)[^/]*\.txt$/;
/** Indexes of weights, and what trainers leave behind. */
const NO_COMPANION =
  /\.index\.json$|^(trainer_state|train_results|eval_results|all_results)\.json$/;

/** Paths of the files beside the weights: those at the root of a model, and its chat templates. */
export function companionFiles(paths: readonly string[]): string[] {
  return paths.filter((path) =>
    isAtRoot(path) ? COMPANION.test(path) && !NO_COMPANION.test(path) : isTemplate(path)
  );
}

function isTemplate(path: string): boolean {
  const folder = `${TEMPLATES}/`;
  const name = path.slice(folder.length);
  return path.startsWith(folder) && isAtRoot(name) && name.endsWith(".jinja");
}

/**
 * Names of the weights among files at the root of a model: of one format, safetensors before PyTorch
 * files, as a directory is read.
 *
 * @returns undefined when there are none; the name of an index, when only that tells
 */
export function weightFiles(
  paths: readonly string[],
): { names: string[] } | { index: string } | undefined {
  const found = modelFilesAmong(paths.filter(isAtRoot), ".");
  if (found === undefined) return undefined;
  if (found.layout === "pipeline") return { names: [...found.layers.values()] };
  return found.isIndex ? { index: found.entry } : { names: [found.entry] };
}

/**
 * Names of the files with weights that an index in `dir` lists.
 *
 * @throws {ConfigError} If it is no index, or names files elsewhere
 */
export function indexedFiles(dir: string, index: string): string[] {
  const path = join(dir, index);
  const { weight_map: map } = readJsonObject(path);
  const names = typeof map === "object" && map !== null ? [...new Set(Object.values(map))] : [];
  if (names.length > 0 && names.every((name) => typeof name === "string" && isAtRoot(name))) {
    return names as string[];
  }
  throw new ConfigError(`Cannot read ${path} as its weight_map must name files beside it`);
}

/** Whether a path is that of a visible file in the model's own directory, and safe to write. */
function isAtRoot(path: string): boolean {
  return /^\w[\w.+-]*$/.test(path);
}
