/** What a run may leave behind when it ends, however it ends: nothing but its results. @module */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";

/** Process ids of the ranks of a run, in the order of the ranks. */
export function ranksOf(savePath: string): number[] {
  const found: [rank: number, pid: number][] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const read = (file: string) => Deno.readTextFileSync(`/proc/${name}/${file}`);
      if (!read("cmdline").split("\0").includes(join(savePath, "run.json"))) continue;
      if (/\) Z /.test(read("stat"))) continue;
      const rank = read("environ").split("\0").find((word) => word.startsWith("RANK="));
      found.push([Number(rank?.slice("RANK=".length)), Number(name)]);
    } catch {
      // it ended meanwhile
    }
  }
  return found.sort(([a], [b]) => a - b).map(([, pid]) => pid);
}

/** No rank runs, and nothing is left that a run writes only for itself. */
export function expectTidy({ savePath, cacheDir }: { savePath: string; cacheDir: string }): void {
  assertEquals(ranksOf(savePath), []);
  const temporary = (dir: string) =>
    [...Deno.readDirSync(dir)].map(({ name }) => name)
      .filter((name) => /tmp|\.lock$|\.old-/.test(name));
  assertEquals(temporary(savePath), []);
  assertEquals(temporary(join(cacheDir, "data")), []);
}
