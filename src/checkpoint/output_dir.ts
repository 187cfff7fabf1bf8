/** A directory that appears under its name only when it is complete. @module */
import { basename, dirname, join, resolve } from "@std/path";
import { statfsSync } from "node:fs";
import { ConfigError } from "../config/config_error.ts";
import { syncPath } from "../formats/file_bytes.ts";
import { formatBytes } from "../monitor/format_bytes.ts";

/** What is asked of a new directory. */
export interface OutputOptions {
  /** Replace a model directory that is there. */
  force: boolean;
  /** Bytes that will be written. */
  bytes: number;
}

/**
 * Builds a directory under a temporary name beside `path`, then renames it. On an error nothing is
 * left and what was at `path` is still there. What an interrupted process left is removed first.
 *
 * @param build Fills the directory it is given
 * @throws {ConfigError} If `path` is in use, cannot be written, or the disk has too little room
 */
export async function buildDirectory<T>(
  path: string,
  { force, bytes }: OutputOptions,
  build: (dir: string) => Promise<T>,
): Promise<T> {
  const target = resolve(path);
  const parent = dirname(target);
  checkTarget(target, force);
  const temporary = `${target}.tmp-${Deno.pid}`;
  try {
    Deno.mkdirSync(parent, { recursive: true });
    removeStale(target);
    Deno.mkdirSync(temporary);
  } catch (cause) {
    throw new ConfigError(`Cannot write to ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    requireFreeSpace(parent, bytes);
    const result = await build(temporary);
    syncPath(temporary);
    putInPlace(temporary, target);
    return result;
  } finally {
    removeTree(temporary);
  }
}

/**
 * Checks that the file system of a directory has room.
 *
 * @throws {ConfigError} Naming the bytes that are needed and those that are free
 */
export function requireFreeSpace(dir: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(dir);
  if (bavail * bsize >= bytes) return;
  throw new ConfigError(
    `Cannot write to ${dir} as ${formatBytes(bytes)} must be free: ` +
      `current free space is ${formatBytes(bavail * bsize)}`,
  );
}

/** Gives a finished directory its name; a directory that has it is removed afterwards. */
export function putInPlace(temporary: string, target: string): void {
  const old = `${target}.old-${Deno.pid}`;
  const replaces = readEntries(target) !== undefined;
  if (replaces) Deno.renameSync(target, old);
  try {
    Deno.renameSync(temporary, target);
  } catch (error) {
    if (replaces) Deno.renameSync(old, target);
    throw error;
  }
  syncPath(dirname(target));
  if (replaces) removeTree(old);
}

/** Removes a file or directory, whether it is there or not. */
export function removeTree(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Entries of a directory, or undefined when there is none. */
export function readEntries(path: string): Deno.DirEntry[] | undefined {
  try {
    return [...Deno.readDirSync(path)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new ConfigError(`Cannot use ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** A directory that holds only a model may be replaced when asked to; nothing else ever is. */
function checkTarget(target: string, force: boolean): void {
  const entries = readEntries(target);
  if (!entries?.length) return;
  if (!force) {
    throw new ConfigError(
      `Cannot write to ${target} as it must be empty or absent: it holds ${entries.length} ` +
        `entries (--force replaces a model directory)`,
    );
  }
  const isModel = entries.some(({ name }) => name === "config.json") &&
    entries.every(({ isDirectory }) => !isDirectory);
  if (!isModel) {
    throw new ConfigError(
      `Cannot replace ${target} as it must hold a model and no directories`,
    );
  }
}

/** Temporary directories of processes that are gone. */
function removeStale(target: string): void {
  const prefix = `${basename(target)}.tmp-`;
  for (const { name } of readEntries(dirname(target)) ?? []) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    if (/^\d+$/.test(pid) && readEntries(`/proc/${pid}`) === undefined) {
      removeTree(join(dirname(target), name));
    }
  }
}
