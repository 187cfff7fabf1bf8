/** What stands in place of a large file in a clone without Git LFS. @module */

const START = new TextEncoder().encode("version https://git-lfs.github.com/spec/");

/** What is wrong with a file that is only a pointer, as the end of "Cannot read FILE as". */
export const POINTER_REASON =
  "it is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`";

/** True when a file is only a pointer to what it should hold. */
export function isLfsPointer(path: string): boolean {
  using file = Deno.openSync(path);
  const bytes = new Uint8Array(START.length);
  const size = file.readSync(bytes);
  return size === START.length && START.every((byte, i) => byte === bytes[i]);
}
