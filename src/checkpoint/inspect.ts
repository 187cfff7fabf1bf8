/** What is in the tensor files of a directory. @module */
import { join } from "@std/path";
import { createHash } from "node:crypto";
import { ConfigError } from "../config/config_error.ts";
import { openTensorFile } from "../formats/open_tensor_file.ts";
import type { StoredType } from "../formats/tensor_file.ts";
import { listFiles, resolveModelDir } from "./model_dir.ts";
import { checkShardIndex } from "./shard_index.ts";

/** Indexes of sharded models. */
const INDEX = /\.(safetensors|bin)\.index\.json$/;

/** One tensor of a file. */
export interface InspectedTensor {
  /** The file. */
  file: string;
  /** Name in the file. */
  name: string;
  /** Element type. */
  dtype: StoredType;
  /** Size of each dimension. */
  shape: readonly number[];
  /** SHA-256 of the bytes, in hexadecimal, if asked for. */
  sha256?: string;
}

/**
 * Yields every tensor of a file, or of the tensor files of a directory; of the output of a training
 * run, those of the checkpoint that its file `latest` names.
 *
 * @param options.hash Reads the tensors too, piece by piece
 * @throws {FormatError} On a file that must be refused
 * @throws {ConfigError} If there is no such file or directory, or an index that is in the directory
 *   and its shards differ
 */
export function* inspectTensors(
  path: string,
  options: { hash: boolean },
): Generator<InspectedTensor> {
  for (const file of isDirectory(path) ? tensorFiles(path) : [path]) {
    using opened = openTensorFile(file);
    for (const [name, { dtype, shape }] of opened.tensors) {
      const tensor = { file, name, dtype, shape };
      if (!options.hash) {
        yield tensor;
        continue;
      }
      const hash = createHash("sha256");
      for (const chunk of opened.chunks(name)) hash.update(chunk);
      yield { ...tensor, sha256: hash.digest("hex") };
    }
  }
}

function tensorFiles(dir: string): string[] {
  const inside = (dir: string) => {
    const names = listFiles(dir);
    for (const name of names) if (INDEX.test(name)) checkShardIndex(dir, name);
    return names.filter((name) => /\.(safetensors|pt|pth|bin)$/.test(name))
      .map((name) => join(dir, name));
  };
  const files = inside(dir);
  if (files.length) return files;
  const found = inside(resolveModelDir(dir));
  if (found.length) return found;
  throw new ConfigError(
    `Cannot inspect ${dir}: it has no files named *.safetensors, *.pt, *.pth or *.bin`,
  );
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ConfigError(`Cannot read ${path}: there is no such file or directory`);
  }
}
