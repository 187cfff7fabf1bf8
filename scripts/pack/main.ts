/**
 * Packs ./llmpipe: `deno task build [--road compile|launcher] [--level N]`.
 *
 * The standard road is `deno compile`. Its base binary comes from DENORT_BIN, from Deno's cache or
 * from the network; where none can be had, the program is packed behind our own launcher.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { fromFileUrl, join } from "@std/path";
import { type Build, gitCommit, listBackends } from "../../src/cli/version.ts";
import { bundle } from "./bundle.ts";
import { compile } from "./compile.ts";
import { copyTree, filesBelow } from "./files.ts";
import { buildLauncher } from "./launcher.ts";
import { collectLibraries } from "./libraries.ts";
import { writePayload } from "./payload.ts";
import { copySources } from "./source_copy.ts";
import { digestOf, readIfAny } from "./stamp.ts";

const ROOT = fromFileUrl(new URL("../..", import.meta.url));
const NATIVE = join(ROOT, "build/native/lib");
const LAUNCHER = join(ROOT, "scripts/launcher");
const STAGE = join(ROOT, "build/stage");
const STAMP = join(ROOT, "build/pack.stamp");
const OUT = join(ROOT, "llmpipe");

const options = parseArgs(Deno.args, { string: ["road"], default: { road: "any", level: 3 } });
if (!["any", "compile", "launcher"].includes(options.road)) {
  console.error(`Cannot pack by road "${options.road}": it must be compile or launcher`);
  Deno.exit(2);
}

const commit = await gitCommit(ROOT);
const digest = await digestOf(await inputs(), [commit, options.road, String(options.level)]);
const stamp = await stampFor(digest);
if (stamp !== undefined && stamp === await readIfAny(STAMP)) {
  console.error("llmpipe is up to date");
  Deno.exit(0);
}

await Deno.remove(STAGE, { recursive: true }).catch(() => {});
await Deno.mkdir(STAGE, { recursive: true });
await stageProgram();
const road = options.road === "launcher" ? "launcher" : await takeStandardRoad();
if (road === "launcher") await takeOwnRoad();
await Deno.writeTextFile(STAMP, (await stampFor(digest))!);
const megabytes = ((await Deno.stat(OUT)).size / 1e6).toFixed(0);
console.error(`llmpipe: ${megabytes} MB, commit ${commit}, packed by ${road}`);

/** Everything the result is made of. */
async function inputs(): Promise<string[]> {
  const paths = [Deno.execPath(), join(ROOT, "main.ts"), join(ROOT, "deno.json")];
  for (const folder of ["src", "ffi", "scripts/pack", "scripts/launcher", "build/native/lib"]) {
    paths.push(...await filesBelow(join(ROOT, folder)));
  }
  return paths;
}

/** The digest of the inputs with the size and time of the result; undefined without a result. */
async function stampFor(digest: string): Promise<string | undefined> {
  const result = await Deno.stat(OUT).catch(() => undefined);
  return result && `${digest} ${result.size} ${result.mtime?.getTime()}\n`;
}

/** What both roads share: the program, the libraries. */
async function stageProgram(): Promise<void> {
  if (await bundle(ROOT, STAGE)) {
    await Deno.writeTextFile(join(STAGE, "deno.json"), "{}\n");
  } else {
    console.error("The bundler cannot be had from npm: packing the sources as they are");
    await copySources(ROOT, STAGE);
  }
  for (const [name, path] of await collectLibraries(NATIVE)) {
    await Deno.mkdir(join(STAGE, name, ".."), { recursive: true });
    await copyTree(path, join(STAGE, name));
  }
}

async function describeBuild(road: Build["road"]): Promise<void> {
  const { version } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const build: Build = { version, commit, backends: await listBackends(NATIVE), road };
  await Deno.writeTextFile(join(STAGE, "build.json"), JSON.stringify(build) + "\n");
}

async function takeStandardRoad(): Promise<"compile" | "launcher"> {
  await describeBuild("compile");
  const failure = await compile(STAGE, OUT);
  if (failure === undefined) return "compile";
  if (options.road === "compile") {
    console.error(`Cannot pack with deno compile: ${failure}`);
    Deno.exit(1);
  }
  console.error(`deno compile is not possible here (${failure}): packing behind our own launcher`);
  return "launcher";
}

async function takeOwnRoad(): Promise<void> {
  await describeBuild("launcher");
  const launcher = join(ROOT, "build/launcher");
  await buildLauncher(LAUNCHER, launcher);
  await Deno.copyFile(Deno.execPath(), join(STAGE, "deno"));
  await writePayload(OUT, { launcher, folder: STAGE, level: Number(options.level) });
}
