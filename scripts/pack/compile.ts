/** The standard road to one file: `deno compile`. @module */
import { fromFileUrl, join, relative } from "@std/path";
import { filesBelow } from "./files.ts";
import { describeLibraries } from "./unpack.ts";

const TIME_LIMIT_MS = 120_000; // its base binary may have to be downloaded

/**
 * Begins the program: its modules stay inside, in a file system that only Deno sees, and its
 * libraries go where the loader of the system finds them. `--self-extracting` would put all files
 * beside the program, with no lock against others that do the same, and never look at them again.
 */
const ENTRY = `import manifest from "./libraries.json" with { type: "json" };
import { unpackLibraries } from "./unpack.ts";

Deno.env.set("LLMPIPE_HOME", import.meta.dirname);
Deno.env.set("LLMPIPE_EXE", Deno.execPath());
try {
  Deno.env.set("LLMPIPE_LIBRARIES", unpackLibraries(import.meta.dirname, manifest) + "/lib");
} catch (error) {
  console.error("llmpipe: " + error.message);
  Deno.exit(1);
}
await import("./main.js");
`;

/**
 * Compiles the staged program, and starts the result once to see that it works.
 *
 * @param stage Folder of main.js and all that belongs to it; gets the entry program.js for a while
 * @param out Overwritten with the program when it works
 * @returns Why it is not possible; undefined when it worked
 */
export async function compile(stage: string, out: string): Promise<string | undefined> {
  const entry = join(stage, "program.js");
  const trial = join(stage, "../trial/llmpipe");
  await Deno.mkdir(join(trial, ".."), { recursive: true });
  const added = await addEntry(stage);
  try {
    const failure = await build(stage, entry, trial) ?? await start(trial);
    if (failure === undefined) await Deno.rename(trial, out);
    return failure;
  } finally {
    for (const path of added) await Deno.remove(path);
    await Deno.remove(join(trial, ".."), { recursive: true });
  }
}

/** Writes what only this road needs. Returns the files. */
async function addEntry(stage: string): Promise<string[]> {
  const names = (await filesBelow(join(stage, "lib"))).map((path) => relative(stage, path));
  const texts = {
    "program.js": ENTRY,
    "unpack.ts": await Deno.readTextFile(fromFileUrl(new URL("./unpack.ts", import.meta.url))),
    "libraries.json": JSON.stringify(describeLibraries(stage, names)),
  };
  for (const [name, text] of Object.entries(texts)) {
    await Deno.writeTextFile(join(stage, name), text);
  }
  return Object.keys(texts).map((name) => join(stage, name));
}

async function build(stage: string, entry: string, out: string): Promise<string | undefined> {
  const args = ["compile", "--allow-all", "--no-check", "--quiet"];
  const output = await run(Deno.execPath(), [...args, "--include", stage, "--output", out, entry], {
    cwd: stage,
  });
  if (output.success) return;
  if (output.timedOut) return `the runtime for it did not arrive in ${TIME_LIMIT_MS / 1000} s`;
  return /denort|base binary/i.test(output.text)
    ? "the runtime for it cannot be had"
    : `it failed: ${output.text.trim().split("\n").pop()}`;
}

/** A runtime of another version, or one that unpacks differently, shows here. */
async function start(program: string): Promise<string | undefined> {
  const output = await run(program, ["--version"], {});
  const works = output.success && output.text.startsWith("llmpipe ");
  return works ? undefined : "what it makes does not start";
}

async function run(
  program: string,
  args: string[],
  options: { cwd?: string },
): Promise<{ success: boolean; timedOut: boolean; text: string }> {
  const timeout = AbortSignal.timeout(TIME_LIMIT_MS);
  const command = new Deno.Command(program, { args, ...options, signal: timeout, stdin: "null" });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return { success, timedOut: timeout.aborted, text };
}
