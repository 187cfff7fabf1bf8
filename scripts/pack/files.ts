/** Walking folders. @module */
import { join } from "@std/path";

/** Paths of the files below `folder` whose path matches, sorted; none when there is no folder. */
export async function filesBelow(folder: string, pattern = /./): Promise<string[]> {
  const found: string[] = [];
  const entries: Deno.DirEntry[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) entries.push(entry);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  for (const { name, isDirectory } of entries) {
    const path = join(folder, name);
    if (isDirectory) found.push(...await filesBelow(path, pattern));
    else if (pattern.test(path)) found.push(path);
  }
  return found.sort();
}

/** Copies a file, or a folder and everything below it; links become what they point to. */
export async function copyTree(from: string, to: string): Promise<void> {
  if ((await Deno.stat(from)).isFile) return await Deno.copyFile(from, to);
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) await copyTree(join(from, name), join(to, name));
}
