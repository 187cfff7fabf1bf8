/**
 * Runs every check of the project, one after another, and adds the results up: `scripts/test`.
 *
 * A check that ends with `N passed` and `N failed` counts as that many, any other as one. A check
 * that cannot go on without a failed one is not run and counts as failed. One that is optional and
 * ends with status 3 has said what it lacks on this machine, and counts as skipped.
 * @module
 */
import { fromFileUrl } from "@std/path";

/** One check: a command, and what must have passed before it. */
interface Check {
  name: string;
  command: string[];
  needs?: string;
  /** Status 3 means that this machine cannot do it. */
  isOptional?: boolean;
}

/** Exit status of an optional check that cannot be done on this machine. */
const SKIPPED = 3;

const CHECKS: Check[] = [
  { name: "native", command: ["scripts/build_native"] },
  { name: "cuda", command: ["scripts/cuda"], isOptional: true },
  { name: "format", command: ["deno", "fmt", "--check"] },
  { name: "lint", command: ["deno", "lint"] },
  { name: "types", command: ["deno", "check"] },
  { name: "documentation", command: ["deno", "task", "--quiet", "doc"] },
  { name: "binary", command: ["deno", "task", "--quiet", "build"], needs: "native" },
  { name: "tests", command: ["deno", "task", "--quiet", "test"], needs: "native" },
  { name: "sanitizers", command: ["scripts/test_native"], needs: "native" },
  { name: "emulation", command: ["scripts/test_cuda", "plain"], needs: "native" },
  { name: "race detector", command: ["scripts/test_cuda", "race"], needs: "native" },
  {
    name: "cuda report",
    command: ["scripts/cuda_report", "--check"],
    needs: "cuda",
    isOptional: true,
  },
];

Deno.chdir(fromFileUrl(new URL("..", import.meta.url)));
const failed = new Set<string>();
let passes = 0, failures = 0, skips = 0;
for (const check of CHECKS) {
  if (check.needs !== undefined && failed.has(check.needs)) {
    console.log(`\n== ${check.name}: not run, as ${check.needs} failed`);
    failed.add(check.name);
    failures++;
    continue;
  }
  console.log(`\n== ${check.name}: ${check.command.join(" ")}`);
  const begin = performance.now();
  const { code, text } = await run(check.command);
  const isSkipped = check.isOptional === true && code === SKIPPED;
  const success = code === 0 || isSkipped;
  const count = (word: string) => {
    const [, number] = [...text.matchAll(new RegExp(`(\\d+) ${word}\\b`, "g"))].at(-1) ?? [];
    return Number(number ?? 0);
  };
  const [good, bad] = [count("passed"), count("failed")];
  passes += good || Number(code === 0);
  failures += success ? bad : Math.max(1, bad);
  skips += count("ignored") + Number(isSkipped);
  if (!success) failed.add(check.name);
  const state = isSkipped ? "skipped" : success ? "ok" : "FAILED";
  console.log(`== ${check.name}: ${state}, ${seconds(begin)} s`);
}
if (skips > 0) console.log(`\n${skips} skipped`);
if (failed.size > 0) console.log(`\nFailed: ${[...failed].join(", ")}`);
console.log(`${passes} passed, ${failures} failed`);
Deno.exit(failures === 0 ? 0 : 1);

function seconds(begin: number): string {
  return ((performance.now() - begin) / 1000).toFixed(1);
}

/** Runs a command, showing what it prints as it comes; the text that counts is its last lines. */
async function run(command: string[]): Promise<{ code: number; text: string }> {
  const [program, ...args] = command;
  const child = new Deno.Command(program!, {
    args,
    stdout: "piped",
    stderr: "piped",
    stdin: "null",
    env: { NO_COLOR: "1" },
  })
    .spawn();
  let tail = "";
  const show = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      Deno.stdout.writeSync(chunk);
      tail = (tail + text).slice(-500);
    }
  };
  const [{ code }] = await Promise.all([child.status, show(child.stdout), show(child.stderr)]);
  return { code, text: tail };
}
