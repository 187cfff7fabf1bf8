/** The output directory of a training run: who may write there, and its checkpoints. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { tryLock } from "./file_lock.ts";
import { readEntries, removeTree } from "./output_dir.ts";
import { readTrainerState, STATE_FILE, type TrainerState } from "./trainer_state.ts";

/** The right to write to a save path, until disposed. */
export interface SavePathClaim extends Disposable {
  /** The directory. */
  readonly savePath: string;
}

/** A checkpoint to go on from. */
export interface FoundCheckpoint {
  /** Its directory; undefined when there is none, or none is complete. */
  dir: string | undefined;
  /** Why newer ones, or the one that `latest` names, cannot be used. */
  passedOver: string[];
}

const CHECKPOINT = /^(step_\d+|checkpoint_final)$/;
const TEMPORARY = /^(step_\d+|checkpoint_final)\.(tmp|old)-\w+$/;
const LOCK = ".lock";

/**
 * Claims a save path for one run: makes the directory, sees that it can be written, that no other
 * run is writing there and, unless it is to be resumed, that none has. What an interrupted run left
 * half written is removed.
 *
 * @throws {ConfigError} If another run has or had the path, or it cannot be written
 */
export function claimSavePath(savePath: string, options: { resume: boolean }): SavePathClaim {
  const isNew = !isThere(savePath);
  const lock = lockDirectory(savePath);
  const end = () => release(savePath, lock, isNew);
  try {
    const names = (readEntries(savePath) ?? []).map(({ name }) => name);
    const traces = names.filter((name) =>
      CHECKPOINT.test(name) || name === "latest" ||
      name === "metrics.jsonl" && Deno.statSync(join(savePath, name)).size > 0
    );
    if (traces.length && !options.resume) {
      throw new ConfigError(
        `Cannot start in ${savePath} as it already holds a run (${traces.sort().join(", ")}): ` +
          `choose another save_path, or go on with --resume auto`,
      );
    }
    removeUnfinished(savePath);
  } catch (error) {
    end();
    throw error;
  }
  return { savePath, [Symbol.dispose]: end };
}

/** Removes what ranks that are gone have left half written or half removed in a save path. */
export function removeUnfinished(savePath: string): void {
  for (const { name } of readEntries(savePath) ?? []) {
    if (TEMPORARY.test(name)) removeTree(join(savePath, name));
  }
}

/**
 * Finds the checkpoint to go on from: the one that `latest` names or, when that is not complete, the
 * one that was saved last of those that are.
 */
export function findLatest(savePath: string): FoundCheckpoint {
  const passedOver: string[] = [];
  const named = readLatest(savePath);
  if (named !== undefined) {
    try {
      readTrainerState(named);
      return { dir: named, passedOver };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      passedOver.push(error.message);
    }
  }
  const complete: { dir: string; savedAt: number }[] = [];
  for (const dir of checkpoints(savePath)) {
    if (dir === named) continue;
    try {
      complete.push({ dir, savedAt: readTrainerState(dir).savedAt });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      passedOver.push(error.message);
    }
  }
  complete.sort((a, b) => b.savedAt - a.savedAt);
  return { dir: complete[0]?.dir, passedOver };
}

/**
 * Removes all periodic checkpoints but the last `keep` that were saved. Never removes the one that
 * `latest` names, `checkpoint_final`, or a directory that is no checkpoint.
 *
 * @param keep At least 1
 * @returns The directories that were removed
 */
export function pruneCheckpoints(savePath: string, keep: number): string[] {
  const latest = readLatest(savePath);
  const periodic: { dir: string; savedAt: number }[] = [];
  for (const dir of checkpoints(savePath)) {
    if (dir.endsWith("checkpoint_final")) continue;
    const savedAt = savedAtOf(dir);
    if (savedAt !== undefined) periodic.push({ dir, savedAt });
  }
  periodic.sort((a, b) => b.savedAt - a.savedAt);
  const removed = periodic.slice(Math.max(1, keep)).map(({ dir }) => dir)
    .filter((dir) => dir !== latest);
  for (const dir of removed) {
    // Under another name first: a directory that is half removed must not look like a checkpoint.
    Deno.renameSync(dir, `${dir}.old-${Deno.pid}`);
    removeTree(`${dir}.old-${Deno.pid}`);
  }
  return removed;
}

function readLatest(savePath: string): string | undefined {
  try {
    const name = Deno.readTextFileSync(join(savePath, "latest")).trim();
    return CHECKPOINT.test(name) ? join(savePath, name) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function checkpoints(savePath: string): string[] {
  return (readEntries(savePath) ?? [])
    .filter(({ name, isDirectory }) => isDirectory && CHECKPOINT.test(name))
    .map(({ name }) => join(savePath, name)).sort();
}

/** When a checkpoint of ours was saved, be it complete or not; undefined for other directories. */
function savedAtOf(dir: string): number | undefined {
  try {
    const state: Partial<TrainerState> = JSON.parse(Deno.readTextFileSync(join(dir, STATE_FILE)));
    return typeof state.savedAt === "number" ? state.savedAt : undefined;
  } catch {
    return undefined;
  }
}

function lockDirectory(savePath: string): Deno.FsFile {
  const path = join(savePath, LOCK);
  let lock: Deno.FsFile;
  try {
    Deno.mkdirSync(savePath, { recursive: true });
    lock = Deno.openSync(path, { write: true, create: true });
  } catch (cause) {
    throw new ConfigError(`Cannot write to save_path ${savePath}: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (tryLock(lock) && isAt(lock, path)) return lock;
  lock.close();
  throw new ConfigError(
    `Cannot start in ${savePath} as another run is writing there now: choose another save_path`,
  );
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false; // or out of reach, which making it will tell
  }
}

/** Whether the file still has its name: a run that has just ended removes it. */
function isAt(lock: Deno.FsFile, path: string): boolean {
  try {
    return Deno.statSync(path).ino === lock.statSync().ino;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Gives the path back. A directory that was made for the claim and stayed empty is removed. */
function release(savePath: string, lock: Deno.FsFile, isNew: boolean): void {
  removeTree(join(savePath, LOCK));
  lock.close();
  if (isNew && readEntries(savePath)?.length === 0) Deno.removeSync(savePath);
}
