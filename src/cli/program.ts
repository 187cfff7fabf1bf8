/** Where this program's files are, and how to start it again. @module */
import { dirname, fromFileUrl, join } from "@std/path";

/**
 * The folder of a packed program's files, named by what unpacked them; undefined when the program
 * runs from its sources.
 */
export function packedHome(): string | undefined {
  return Deno.env.get("LLMPIPE_HOME");
}

/** The folder of the native libraries; those of a packed program may lie elsewhere than its files. */
export function libraryFolder(): string {
  const home = packedHome();
  const unpacked = Deno.env.get("LLMPIPE_LIBRARIES");
  if (home !== undefined && unpacked !== undefined) return unpacked;
  return home === undefined ? join(sourceRoot(), "build/native/lib") : join(home, "lib");
}

/** The words that start this program once more, before the name of a command. */
export function ownCommand(): string[] {
  const file = Deno.env.get("LLMPIPE_EXE");
  if (packedHome() !== undefined && file !== undefined) return [file];
  return [Deno.execPath(), "run", "--allow-all", "--quiet", join(sourceRoot(), "main.ts")];
}

/** The root of the sources; of no use in a packed program. */
export function sourceRoot(): string {
  return dirname(dirname(dirname(fromFileUrl(import.meta.url))));
}
