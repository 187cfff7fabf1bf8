/** The standard road to one file: `deno compile`. @module */
import { join } from "@std/path";

const TIME_LIMIT_MS = 120_000; // its base binary may have to be downloaded

/** Tells the program where its files are, as the launcher does. */
const ENTRY = `Deno.env.set("LLMPIPE_HOME", import.meta.dirname);
Deno.env.set("LLMPIPE_EXE", Deno.execPath());
await import("./main.js");
`;

/**
 * Compiles the staged program, and starts the result once to see that it works.
 *
 * @param stage Folder of main.js and all that belongs to it; gets the entry program.js
 * @param out Overwritten with the program when it works
 * @returns Why it is not possible; undefined when it worked
 */
export async function compile(stage: string, out: string): Promise<string | undefined> {
  const entry = join(stage, "program.js");
  const trial = join(stage, "../trial/llmpipe");
  await Deno.mkdir(join(trial, ".."), { recursive: true });
  await Deno.writeTextFile(entry, ENTRY);
  try {
    const failure = await build(stage, entry, trial) ?? await start(trial);
    if (failure === undefined) await Deno.rename(trial, out);
    return failure;
  } finally {
    await Deno.remove(entry);
    await Deno.remove(join(trial, ".."), { recursive: true });
  }
}

async function build(stage: string, entry: string, out: string): Promise<string | undefined> {
  const args = ["compile", "--allow-all", "--no-check", "--quiet", "--self-extracting"];
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
