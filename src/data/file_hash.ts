/**
 * The hash of a file's content, remembered so that a large file is not read at every start.
 * @module
 */
import { createHash } from "node:crypto";
import { join, resolve } from "@std/path";
import { ConfigError } from "../config/config_error.ts";

/** Options of {@linkcode hashFile}. */
export interface HashOptions {
  /** Directory in which hashes are remembered; undefined: nowhere. */
  memoryDir?: string | undefined;
  /** Called while reading, with the bytes that are done. */
  onProgress?: (bytes: number) => void;
}

/**
 * SHA-256 of a file, in hexadecimal. A remembered one is used when path, size, inode and time of
 * the last change are the same.
 *
 * @throws {ConfigError} If this user may not read it
 */
export function hashFile(path: string, options: HashOptions = {}): string {
  const { memoryDir, onProgress } = options;
  const real = resolve(Deno.realPathSync(path));
  const before = Deno.statSync(real);
  const state = [real, before.size, before.ino, before.mtime?.getTime(), before.ctime?.getTime()];
  const name = hashText(real).slice(0, 32) + ".json";
  const known = memoryDir && recall(join(memoryDir, name), state);
  if (known) return known;
  const hash = createHash("sha256");
  using file = open(real);
  const buffer = new Uint8Array(8 << 20);
  let done = 0;
  for (let got; (got = file.readSync(buffer)) !== null;) {
    hash.update(buffer.subarray(0, got));
    onProgress?.(done += got);
  }
  const digest = hash.digest("hex");
  // a file changed a moment ago may change again without a visible trace in its times
  const isSettled = Date.now() - (before.mtime?.getTime() ?? Infinity) > 2000;
  if (memoryDir && isSettled && done === before.size) {
    remember(memoryDir, name, JSON.stringify({ state, digest }));
  }
  return digest;
}

function open(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path);
  } catch (cause) {
    throw new ConfigError(`Cannot read ${path}`, { cause });
  }
}

/** SHA-256 of a text, in hexadecimal. */
export function hashText(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function recall(path: string, state: unknown[]): string | undefined {
  try {
    const known = JSON.parse(Deno.readTextFileSync(path));
    return JSON.stringify(known.state) === JSON.stringify(state) ? known.digest : undefined;
  } catch {
    return undefined; // never seen, or not readable: it is read again
  }
}

function remember(dir: string, name: string, text: string): void {
  const temp = join(dir, `${name}.${crypto.randomUUID()}.tmp`);
  try {
    Deno.mkdirSync(dir, { recursive: true });
    Deno.writeTextFileSync(temp, text);
    Deno.renameSync(temp, join(dir, name));
  } catch {
    // remembering is only for speed
    try {
      Deno.removeSync(temp);
    } catch {
      // it never came to be
    }
  }
}
