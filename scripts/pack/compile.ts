/** The standard road to one file: `deno compile`. @module */
import { fromFileUrl, join, relative } from "@std/path";
import { filesBelow } from "./files.ts";
import { packLibraries } from "./unpack.ts";

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
 * @param stage Folder of main.js and all that belongs to it
 * @param out Overwritten with the program when it works
 * @returns Why it is not possible; undefined when it worked
 */
export async function compile(stage: string, out: string): Promise<string | undefined> {
  const work = join(stage, "../compile");
  const files = join(work, "files"), trial = join(work, "llmpipe");
  try {
    await addFiles(stage, files);
    const failure = await build(files, trial) ?? await start(trial);
    if (failure === undefined) await Deno.rename(trial, out);
    return failure;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Copies the program, with its libraries packed and an entry that unpacks them. */
async function addFiles(stage: string, files: string): Promise<void> {
  const names = (await filesBelow(stage)).map((path) => relative(stage, path));
  const isLibrary = (name: string) => name.startsWith("lib/");
  for (const name of names.filter((name) => !isLibrary(name))) {
    await Deno.mkdir(join(files, name, ".."), { recursive: true });
    await Deno.copyFile(join(stage, name), join(files, name));
  }
  const manifest = packLibraries(stage, names.filter(isLibrary), files);
  const unpack = await Deno.readTextFile(fromFileUrl(new URL("./unpack.ts", import.meta.url)));
  await Deno.writeTextFile(join(files, "libraries.json"), JSON.stringify(manifest));
  await Deno.writeTextFile(join(files, "unpack.ts"), unpack);
  await Deno.writeTextFile(join(files, "program.js"), ENTRY);
}

async function build(files: string, out: string): Promise<string | undefined> {
  const args = ["compile", "--allow-all", "--no-check", "--quiet", "--include", files];
  const entry = join(files, "program.js");
  const output = await run(Deno.execPath(), [...args, "--output", out, entry], { cwd: files });
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
