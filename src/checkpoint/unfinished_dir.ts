/** A directory that appears under its name only when it is complete, be it after several runs. @module */
import { dirname, join, resolve } from "@std/path";
import { createHash } from "node:crypto";
import { ConfigError } from "../config/config_error.ts";
import { statOrNone, syncPath, writeAll } from "../formats/file_bytes.ts";
import { TEMPLATES } from "./extra_files.ts";
import { tryLock } from "./file_lock.ts";
import { putInPlace, readEntries, removeTree, requireFreeSpace } from "./output_dir.ts";

/** What is asked of a new directory. */
export interface OutputOptions {
  /** Replace a model directory that is there, and forget one that was begun with another plan. */
  force: boolean;
  /** All that decides over the contents; only a directory begun with the same text is gone on with. */
  plan: string;
  /** Bytes that will be in it. */
  bytes: number;
}

/** A directory that is being built. */
export interface UnfinishedDirectory<Note> {
  /** Where it stands until it is complete. */
  readonly dir: string;
  /** What was noted of each file that an earlier run finished. */
  readonly finished: ReadonlyMap<string, Note>;
  /** Notes that a file is finished; it must be on the disk. */
  finish(name: string, note: Note): void;
}

/** First line of a journal. */
interface JournalHead {
  llmpipe: "unfinished directory";
  plan: string;
}

/** A further line: a file as it was when it had reached the disk. */
interface JournalEntry<Note> {
  file: string;
  bytes: number;
  /** Milliseconds; a file that has been touched since is written again. */
  modified: number;
  note: Note;
}

/** What is in a partial directory. */
const JOURNAL = "journal.jsonl";
const FILES = "files";

/**
 * Builds a directory beside `path`, in `PATH.partial`, then gives it its name. What a run finished
 * that was interrupted, even by a loss of power, the next one with the same plan goes on with. On an
 * error that the same command would meet again nothing is left. What was at `path` is there until
 * the end.
 *
 * @param build Fills the directory; it passes over the files that are finished
 * @throws {ConfigError} If `path` is in use, cannot be written, or the disk has too little room
 */
export async function buildDirectory<Result, Note>(
  path: string,
  options: OutputOptions,
  build: (unfinished: UnfinishedDirectory<Note>) => Promise<Result>,
): Promise<Result> {
  const target = resolve(path);
  const partial = `${target}.partial`;
  const dir = join(partial, FILES);
  checkTarget(target, options.force);
  using journal = openJournal(path, partial);
  checkTarget(target, options.force); // the run that had the lock may have ended well
  const plan = createHash("sha256").update(options.plan).digest("hex");
  const finished = takeOver<Note>(journal, partial, plan, options.force);
  const finish = (file: string, note: Note) => {
    const { size: bytes, mtime } = Deno.statSync(join(dir, file));
    append(journal, { file, bytes, modified: Number(mtime), note });
    finished.set(file, note);
  };
  let isBuilding = false;
  try {
    requireFreeSpace(dirname(target), options.bytes - sizeOf(dir));
    isBuilding = true;
    const result = await build({ dir, finished, finish });
    syncPath(dir);
    putInPlace(dir, target);
    removeTree(partial);
    return result;
  } catch (error) {
    const isHopeless = isBuilding && error instanceof ConfigError;
    if (isHopeless || finished.size === 0) removeTree(partial);
    throw error;
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
    entries.every(({ name, isDirectory }) => !isDirectory || name === TEMPLATES);
  if (!isModel) {
    throw new ConfigError(`Cannot replace ${target} as it must hold a model and no directories`);
  }
}

/** Opens the journal, which is new or that of an earlier run, and locks it. */
function openJournal(path: string, partial: string): Deno.FsFile {
  const isNew = !readEntries(partial)?.length;
  let journal: Deno.FsFile;
  try {
    Deno.mkdirSync(partial, { recursive: true });
    journal = Deno.openSync(join(partial, JOURNAL), { read: true, write: true, create: isNew });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound && !isNew) throw foreign(partial);
    throw new ConfigError(`Cannot write to ${path}: ${(cause as Error).message}`, { cause });
  }
  if (tryLock(journal)) return journal;
  journal.close();
  throw new ConfigError(`Cannot write to ${path} as another conversion is writing there now`);
}

/** Finds what an earlier run finished, removes all else, and begins the journal if it is new. */
function takeOver<Note>(
  journal: Deno.FsFile,
  partial: string,
  plan: string,
  force: boolean,
): Map<string, Note> {
  const dir = join(partial, FILES);
  const [head, ...entries] = readJournal<Note>(journal);
  const finished = new Map<string, Note>();
  if (head === undefined && readEntries(partial)!.length > 1) throw foreign(partial);
  if (head !== undefined && head.plan === plan) {
    for (const { file, bytes, modified, note } of entries) {
      const info = statOrNone(join(dir, file));
      if (info?.size === bytes && Number(info.mtime) === modified) finished.set(file, note);
    }
  } else if (head !== undefined && !force) {
    throw new ConfigError(
      `Cannot go on with ${partial} as it was begun from other files or with other options: ` +
        `remove it, or start over with --force`,
    );
  } else {
    journal.truncateSync(0);
    append(journal, { llmpipe: "unfinished directory", plan });
    journal.syncSync();
  }
  Deno.mkdirSync(dir, { recursive: true });
  for (const { name } of readEntries(dir) ?? []) {
    if (!finished.has(name)) removeTree(join(dir, name));
  }
  return finished;
}

function foreign(partial: string): ConfigError {
  return new ConfigError(
    `Cannot use ${partial}, which is needed until all is written, as it is no unfinished ` +
      `conversion: remove it or give it another name`,
  );
}

/** The lines of a journal; one that was cut off is none. Empty if the first one is not ours. */
function readJournal<Note>(journal: Deno.FsFile): [JournalHead?, ...JournalEntry<Note>[]] {
  const bytes = new Uint8Array(journal.statSync().size);
  journal.seekSync(0, Deno.SeekMode.Start);
  for (let at = 0, got: number | null; at < bytes.length; at += got) {
    got = journal.readSync(bytes.subarray(at));
    if (got === null) break;
  }
  const lines = new TextDecoder().decode(bytes).split("\n").flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
  const [head, ...entries] = lines;
  const isOurs = (head as Partial<JournalHead> | undefined)?.llmpipe === "unfinished directory";
  return isOurs ? [head, ...entries] : [];
}

/** A line begins with its own line feed, so that it stands alone even after half a line. */
function append(journal: Deno.FsFile, line: unknown): void {
  journal.seekSync(0, Deno.SeekMode.End);
  writeAll(journal, new TextEncoder().encode(`\n${JSON.stringify(line)}`));
}

function sizeOf(dir: string): number {
  return (readEntries(dir) ?? [])
    .reduce((sum, { name }) => sum + Deno.statSync(join(dir, name)).size, 0);
}
