/**
 * Run by a test on a small file system: saves, saves again while something else fills the disk, and
 * prints what came of it.
 * @module
 */
import { join } from "@std/path";
import { statfsSync } from "node:fs";
import { describe } from "./fixtures.ts";
import { save } from "./save.ts";

const [dir, model] = Deno.args;
await save(dir, model, 1);
const ballast = join(dir, "ballast");
const fill = () => {
  const { bavail, bsize } = statfsSync(dir);
  Deno.writeFileSync(ballast, new Uint8Array(bavail * bsize - 1_000_000));
};
const message = await save(dir, model, 2, undefined, fill)
  .then(() => "", (error: Error) => error.message);
Deno.removeSync(ballast);
console.log(JSON.stringify({
  error: message,
  names: [...Deno.readDirSync(dir)].map(({ name }) => name).sort(),
  latest: Deno.readTextFileSync(join(dir, "latest")),
  intact: JSON.stringify(describe(dir)) === JSON.stringify(describe(model)),
}));
