/** Which shared libraries travel with the program. @module */
import { basename, dirname, join, relative } from "@std/path";
import { filesBelow } from "./files.ts";

/** What every Linux with glibc has, in the version it must have; deno itself needs libgcc_s. */
const OF_THE_SYSTEM =
  /^(ld-linux.*|linux-vdso|lib(c|m|dl|pthread|rt|resolv|util|anl|mvec|gcc_s))\.so/;

/**
 * Our libraries and all they need, found by `ldd`, apart from glibc and libgcc_s.
 *
 * @param folder The built libraries, variants for newer processors below glibc-hwcaps/
 * @returns Path in the payload (`lib/...`) to path on this machine
 * @throws {Error} If nothing is built, or a library is missing on this machine
 */
export async function collectLibraries(folder: string): Promise<Map<string, string>> {
  const own = await filesBelow(folder, /\.so[.\d]*$/);
  if (own.length === 0) throw new Error(`Cannot find the native library in ${folder}: build it`);
  const libraries = new Map<string, string>();
  for (const path of own) libraries.set(join("lib", relative(folder, path)), path);
  // The variants need the same; on their own they would not look for it in `folder`
  for (const [name, path] of await neededBy(own.filter((path) => dirname(path) === folder))) {
    if (!own.some((file) => basename(file) === name)) libraries.set(join("lib", name), path);
  }
  return libraries;
}

/** Shared libraries, by name, that the dynamic loader would load for `files`. */
async function neededBy(files: string[]): Promise<Map<string, string>> {
  const { stdout } = await new Deno.Command("ldd", {
    args: files,
    env: { LC_ALL: "C" },
    stderr: "null",
  }).output();
  const needed = new Map<string, string>();
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    const [, name, path] = /^\s+(\S+) => (\S+)/.exec(line) ?? [];
    if (name === undefined || OF_THE_SYSTEM.test(name)) continue;
    if (path === "not") throw new Error(`Cannot pack ${name}: this machine lacks it`);
    needed.set(name, path!);
  }
  return needed;
}
