/**
 * The directory of token files: where it is, who may write a file in it, and how it is kept clean.
 * @module
 */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";

/** Temporary files of other machines are left alone for so long. */
const FOREIGN_AGE_MS = 24 * 3600 * 1000;
/** So are all that are this young: a file exists for a moment before it is locked. */
const FRESH_AGE_MS = 5000;

/** `$LLMPIPE_CACHE_DIR/data`, else `~/.cache/llmpipe/data` ($XDG_CACHE_HOME is honoured). */
export function defaultCacheDir(): string | undefined {
  const own = Deno.env.get("LLMPIPE_CACHE_DIR");
  if (own) return join(own, "data");
  const cache = Deno.env.get("XDG_CACHE_HOME");
  if (cache) return join(cache, "llmpipe", "data");
  const home = Deno.env.get("HOME");
  return home ? join(home, ".cache", "llmpipe", "data") : undefined;
}

/**
 * Makes the first directory that can be written to.
 *
 * @throws {ConfigError} If none can; names each and why
 */
export function openCacheDir(candidates: readonly (string | undefined)[]): string {
  const reasons: string[] = [];
  for (const dir of candidates) {
    if (dir === undefined) continue;
    try {
      Deno.mkdirSync(dir, { recursive: true });
      const probe = join(dir, `probe.${crypto.randomUUID()}.tmp`);
      Deno.writeTextFileSync(probe, "");
      Deno.removeSync(probe);
      return dir;
    } catch (error) {
      reasons.push(`${dir}: ${(error as Error).message}`);
    }
  }
  throw new ConfigError(
    `Cannot keep tokenized data: no directory can be written to (${reasons.join("; ")}); ` +
      `set LLMPIPE_CACHE_DIR`,
  );
}

/**
 * Runs `work` while no other process of this machine holds `name` in `dir`; waits for its turn.
 * Where the file system has no locks, it runs at once.
 *
 * @param onWait Called when it has to wait
 */
export async function withLock<T>(
  dir: string,
  name: string,
  onWait: () => void,
  work: () => Promise<T>,
): Promise<T> {
  const path = join(dir, `${name}.lock`);
  using file = Deno.openSync(path, { write: true, create: true });
  try {
    if (!file.tryLockSync(true)) {
      onWait();
      await file.lock(true);
    }
  } catch {
    return await work(); // no locks here: two runs may do the same work, which is safe
  }
  try {
    return await work();
  } finally {
    removeIfThere(path);
  }
}

/** A file that is written under a temporary name, locked while it is. */
export interface TemporaryFile extends Disposable {
  /** Open for writing. */
  file: Deno.FsFile;
  /** Gives it its name, in one step. */
  commit(): void;
}

/** Opens a temporary file; disposing of it removes what was not committed. */
export function createTemporary(dir: string, name: string): TemporaryFile {
  const final = join(dir, name);
  const path = `${final}.${Deno.hostname()}.${crypto.randomUUID()}.tmp`;
  const file = Deno.openSync(path, { write: true, createNew: true });
  try {
    file.lockSync(true); // tells a sweep that somebody is writing
  } catch {
    // no locks here: its age tells
  }
  let isOpen = true;
  return {
    file,
    commit() {
      Deno.renameSync(path, final);
      file.close();
      isOpen = false;
    },
    [Symbol.dispose]() {
      if (!isOpen) return;
      file.close();
      removeIfThere(path);
    },
  };
}

/** Removes temporary files that nobody writes any more, and locks that nobody holds. */
export function sweepTemporary(dir: string): void {
  const here = `.${Deno.hostname()}.`;
  for (const { name } of Deno.readDirSync(dir)) {
    const isLock = name.endsWith(".lock");
    if (!isLock && !name.endsWith(".tmp")) continue;
    const path = join(dir, name);
    try {
      using file = Deno.openSync(path, { write: true });
      const age = Date.now() - (file.statSync().mtime?.getTime() ?? Date.now());
      const isOurs = isLock || name.includes(here);
      const isOver = isOurs ? age > FRESH_AGE_MS && file.tryLockSync(true) : age > FOREIGN_AGE_MS;
      if (isOver) removeIfThere(path);
    } catch {
      // gone already, or not ours
    }
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
