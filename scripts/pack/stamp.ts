/** Whether the packed program is newer than everything it is made of. @module */
import { createHash } from "node:crypto";

/** A digest of the sizes and times of files, and of what else the result depends on. */
export async function digestOf(paths: string[], facts: string[]): Promise<string> {
  const hash = createHash("sha256").update(facts.join("\n"));
  for (const path of paths) {
    const { size, mtime } = await Deno.stat(path);
    hash.update(`\n${path} ${size} ${mtime?.getTime()}`);
  }
  return hash.digest("hex");
}

/** The content of a small file, undefined when there is none. */
export async function readIfAny(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
