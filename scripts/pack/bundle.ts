/** Bundles the program: one module per lazily loaded command, one per worker. @module */
import { basename, join, relative } from "@std/path";
import { filesBelow } from "./files.ts";

const WORKER = /new URL\(\s*"\.\/([\w.-]+\.ts)",\s*import\.meta\.url,?\s*\)/g;

/**
 * Bundles main.ts and every worker that the sources start with
 * `new Worker(new URL("./NAME.ts", import.meta.url))` into `folder`.
 *
 * The bundler leaves such addresses alone and moves every module to the root of `folder`, so they
 * are rewritten here.
 *
 * @param root Root of the sources
 * @param folder Overwritten with main.js and what it needs
 * @returns False when the bundler cannot be had (it comes from npm on first use)
 */
export async function bundle(root: string, folder: string): Promise<boolean> {
  const workers = await findWorkers(root);
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--code-splitting",
      "--outdir",
      folder,
      "main.ts",
      ...workers.values(),
    ],
    cwd: root,
    stderr: "piped",
  }).output();
  if (code !== 0) {
    const text = new TextDecoder().decode(stderr);
    if (/esbuild/.test(text)) return false;
    throw new Error(`Cannot bundle the program:\n${text}`);
  }
  for (const path of await filesBelow(folder, /\.js$/)) {
    const text = await Deno.readTextFile(path);
    const here = path.slice(0, path.lastIndexOf("/"));
    const rewritten = text.replace(WORKER, (_, name: string) => {
      const output = join(folder, workers.get(name)!.replace(/\.ts$/, ".js"));
      const address = relative(here, output);
      return `new URL("${address.startsWith(".") ? address : `./${address}`}", import.meta.url)`;
    });
    if (rewritten !== text) await Deno.writeTextFile(path, rewritten);
  }
  return true;
}

/** Workers that the sources start: file name to path from the root. */
async function findWorkers(root: string): Promise<Map<string, string>> {
  const workers = new Map<string, string>();
  for (const folder of ["src", "ffi"]) {
    for (const path of await filesBelow(join(root, folder), /\.ts$/)) {
      for (const [, name] of (await Deno.readTextFile(path)).matchAll(WORKER)) {
        const worker = relative(root, join(path, "..", name!));
        const other = workers.get(basename(worker));
        if (other !== undefined && other !== worker) {
          throw new Error(`Cannot bundle workers of one name: ${other} and ${worker}, rename one`);
        }
        workers.set(basename(worker), worker);
      }
    }
  }
  return workers;
}
