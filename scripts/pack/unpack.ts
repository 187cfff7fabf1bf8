/**
 * Unpacks the native libraries of a program made by `deno compile`, as launcher.c does: once for
 * each user, into a folder that is named by what it holds and that nobody else can write to. Runs
 * inside that program, before it; the loader of the system needs them as files, side by side.
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

/** Bytes and SHA-256 of each library, by its path below the folder of the program. */
export type Manifest = Record<string, { bytes: number; sha256: string }>;

/**
 * Compresses libraries: all that is in such a program is read at each of its starts.
 *
 * @param names Paths of the libraries below `folder`
 * @param to Folder that gets them, under the same names
 */
export function packLibraries(folder: string, names: Iterable<string>, to: string): Manifest {
  const manifest: Manifest = {};
  for (const name of [...names].sort()) {
    const bytes = Deno.readFileSync(join(folder, name));
    manifest[name] = { bytes: bytes.length, sha256: hash(bytes) };
    Deno.mkdirSync(dirname(join(to, name)), { recursive: true });
    Deno.writeFileSync(join(to, name), gzipSync(bytes));
  }
  return manifest;
}

/** The time that every unpacked file carries: one that was changed has another. */
const UNPACKED = new Date(1_000_000_000_000);

/**
 * Unpacks what is not there yet. Any number of processes may do so at once.
 *
 * @param from Where {@linkcode packLibraries} has put them, which need not be on a disk
 * @param manifest What there must be
 * @returns The folder below which the libraries lie by their names
 * @throws {Error} If there is no place for them, or they are not what they were when packed
 */
export function unpackLibraries(from: string, manifest: Manifest): string {
  const cache = findCache();
  const name = hash(new TextEncoder().encode(JSON.stringify(manifest))).slice(0, 32);
  const home = join(cache, name);
  if (!isComplete(home, manifest)) {
    using lock = Deno.openSync(join(cache, "lock"), { write: true, create: true, mode: 0o600 });
    const isAlone = tryTo(() => lock.lockSync(true)); // some network file systems cannot
    if (isAlone) sweep(cache);
    if (!isComplete(home, manifest)) unpack(from, manifest, cache, home);
  }
  tryTo(() => Deno.utimeSync(home, new Date(), new Date())); // in use: see the launcher's sweep()
  return home;
}

function unpack(from: string, manifest: Manifest, cache: string, home: string): void {
  const unfinished = Deno.makeTempDirSync({ dir: cache, prefix: `.new-${Deno.pid}-` }); // 0700
  const spoiled = `${unfinished}.old`;
  try {
    for (const [name, { sha256 }] of Object.entries(manifest)) {
      const bytes = readPacked(join(from, name));
      if (bytes === undefined || hash(bytes) !== sha256) {
        throw new Error(`Cannot unpack ${name}: its hash is not what it must be, copy it again`);
      }
      const path = join(unfinished, name);
      Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      Deno.writeFileSync(path, bytes, { createNew: true, mode: 0o700 });
      Deno.utimeSync(path, new Date(), UNPACKED);
    }
    tryTo(() => Deno.renameSync(home, spoiled)); // there is none unless it is damaged
    const renamed = tryTo(() => Deno.renameSync(unfinished, home));
    if (!renamed && !isComplete(home, manifest)) { // and no other process was faster
      throw new Error(`Cannot unpack to ${home}: ${cache} does not take it`);
    }
  } finally {
    for (const path of [unfinished, spoiled]) {
      tryTo(() => Deno.removeSync(path, { recursive: true }));
    }
  }
}

/** A library as it was; undefined for what was never packed. */
function readPacked(path: string): Uint8Array | undefined {
  try {
    return gunzipSync(Deno.readFileSync(path));
  } catch {
    return undefined;
  }
}

function isComplete(home: string, manifest: Manifest): boolean {
  return Object.entries(manifest).every(([name, { bytes }]) => {
    let found: Deno.FileInfo;
    try {
      found = Deno.lstatSync(join(home, name));
    } catch {
      return false;
    }
    return found.isFile && found.size === bytes && found.uid === Deno.uid() &&
      found.mtime?.getTime() === UNPACKED.getTime();
  });
}

/** Removes what killed processes left; whoever holds the lock knows that they are gone. */
function sweep(cache: string): void {
  for (const { name } of Deno.readDirSync(cache)) {
    if (name.startsWith(".new-")) {
      tryTo(() => Deno.removeSync(join(cache, name), { recursive: true }));
    }
  }
}

/** The folder of unpacked programs: the places and the order of launcher.c. */
function findCache(): string {
  const own = Deno.env.get("LLMPIPE_CACHE_DIR");
  if (own) {
    const path = resolve(own);
    const reason = whyNotUsable(path);
    if (reason) throw new Error(`Cannot use LLMPIPE_CACHE_DIR ${path}: ${reason}`);
    return path;
  }
  const xdg = Deno.env.get("XDG_CACHE_HOME");
  const user = Deno.env.get("HOME");
  const last = `/tmp/llmpipe-${Deno.uid()}`;
  const places = [xdg && join(xdg, "llmpipe"), user && join(user, ".cache/llmpipe"), last];
  for (const path of places) {
    if (!path?.startsWith("/")) continue;
    const reason = whyNotUsable(path);
    if (!reason) return path;
    if (path === last) throw new Error(`Cannot use the cache ${path}: ${reason}`);
  }
  return last;
}

/** Makes a folder and its parents; undefined when it is this user's and files can be made in it. */
function whyNotUsable(path: string): string | undefined {
  try {
    Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
    const { uid, mode, isDirectory } = Deno.statSync(path);
    if (!isDirectory) return "it is not a folder";
    if (uid !== Deno.uid()) return "it belongs to another user";
    if (mode! & 0o022) return "others may write to it (chmod go-w)";
    Deno.removeSync(Deno.makeTempFileSync({ dir: path, prefix: ".probe-" })); // not swept by others
  } catch (error) {
    return (error as Error).message;
  }
}

function hash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Whether it worked. */
function tryTo(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
