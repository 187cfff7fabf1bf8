/** The index of a sharded model: which file holds which tensors. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { FormatError } from "../formats/format_error.ts";
import { openTensorFile } from "../formats/open_tensor_file.ts";
import type { TensorFile } from "../formats/tensor_file.ts";
import { readJsonObject } from "./model_dir.ts";

/** Names of one list in a message; more would hide the others. */
const SHOWN = 8;

/**
 * Names of the tensors of each shard.
 *
 * @param index Path of `model.safetensors.index.json` or its like
 * @throws {ConfigError} If it is no index, or names files that are not beside it
 */
export function readShardIndex(index: string): Map<string, Set<string>> {
  const map = readJsonObject(index).weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new ConfigError(`Cannot read ${index} as it must have a weight_map`);
  }
  const shards = new Map<string, Set<string>>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || !/^[^/\\]+$/.test(shard) || /^\.\.?$/.test(shard)) {
      throw new ConfigError(
        `Cannot read ${index} as the file of ${tensor} must be one beside it: ` +
          `current value is ${JSON.stringify(shard)}`,
      );
    }
    shards.set(shard, (shards.get(shard) ?? new Set()).add(tensor));
  }
  return shards;
}

/** What a shard lacks of what the index names, and what it holds beyond that. */
export interface ShardDifference {
  /** Names that the index has for the shard and the shard has not. */
  missing: string[];
  /** One sentence for each kind of difference. */
  problems: string[];
}

/** Compares a shard with what its index says of it: they must have the same names. */
export function compareShard(
  file: TensorFile,
  index: string,
  wanted: ReadonlySet<string>,
): ShardDifference {
  const missing = [...wanted].filter((tensor) => !file.tensors.has(tensor));
  const extra = [...file.tensors.keys()].filter((tensor) => !wanted.has(tensor));
  const problems: string[] = [];
  if (missing.length) {
    problems.push(`Cannot find in ${file.path} what ${index} names: ${listNames(missing)}`);
  }
  if (extra.length) {
    problems.push(`Cannot use ${file.path} as ${index} does not name: ${listNames(extra)}`);
  }
  return { missing, problems };
}

/**
 * Checks an index against the headers of its shards, whatever model it is.
 *
 * @throws {ConfigError} With all shards that are missing or damaged, or differ from the index
 */
export function checkShardIndex(dir: string, name: string): void {
  const index = join(dir, name), problems: string[] = [];
  for (const [shard, wanted] of readShardIndex(index)) {
    try {
      using file = openTensorFile(join(dir, shard));
      problems.push(...compareShard(file, index, wanted).problems);
    } catch (error) {
      problems.push(describeOpenError(join(dir, shard), error));
    }
  }
  if (problems.length) throw new ConfigError(problems);
}

/** Why a file of tensors could not be opened. @throws What is no fault of the file */
export function describeOpenError(path: string, error: unknown): string {
  if (error instanceof FormatError) return error.message;
  if (error instanceof Deno.errors.NotFound) return `Cannot read ${path}: there is no such file`;
  if (error instanceof Error && "code" in error) return `Cannot read ${path}: ${error.message}`;
  throw error;
}

/** Some names, and how many more there are. */
export function listNames(names: readonly string[]): string {
  const more = names.length - SHOWN;
  return names.slice(0, SHOWN).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
