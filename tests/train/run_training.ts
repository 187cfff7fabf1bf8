/** Runs `llmpipe train` as a user does, on a configuration made of parts. @module */
import { join } from "@std/path";
import { stringify } from "@std/yaml";

/** The repository. */
export const ROOT = new URL("../../", import.meta.url).pathname;

/** What a run printed and left behind. */
export interface TrainingResult {
  /** Exit status. */
  status: number;
  /** Everything on stderr. */
  stderr: string;
  /** Lines of metrics.jsonl. */
  metrics: Record<string, number>[];
  /** Where the run wrote. */
  savePath: string;
}

/** Runs `llmpipe ARGS` from the sources. */
export async function llmpipe(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ status: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(ROOT, "main.ts"), ...args],
    env,
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status: code, stdout: text(stdout), stderr: text(stderr) };
}

/** Trains in `dir` with `config`; data_path and save_path are set unless given. */
export async function train(
  dir: string,
  config: Record<string, unknown>,
  options: { args?: string[]; name?: string; env?: Record<string, string> } = {},
): Promise<TrainingResult> {
  const { name = "run", args = [], env = {} } = options;
  const savePath = join(dir, name);
  const path = join(dir, `${name}.yml`);
  Deno.writeTextFileSync(
    path,
    stringify({ data_path: join(dir, "data.jsonl"), save_path: savePath, ...config }),
  );
  const { status, stderr } = await llmpipe(["train", path, ...args], {
    ...env,
    LLMPIPE_CACHE_DIR: join(dir, "cache"),
  });
  return { status, stderr, metrics: readMetrics(savePath), savePath };
}

/** The lines of metrics.jsonl, none if there is no such file. */
export function readMetrics(savePath: string): Record<string, number>[] {
  try {
    const text = Deno.readTextFileSync(join(savePath, "metrics.jsonl")).trim();
    return text ? text.split("\n").map((line) => JSON.parse(line)) : [];
  } catch {
    return [];
  }
}

/** Writes `tokens` samples as JSONL. */
export function writeSamples(
  path: string,
  samples: readonly { ids: readonly number[]; labels: readonly number[] }[],
): void {
  Deno.writeTextFileSync(
    path,
    samples.map(({ ids, labels }) =>
      JSON.stringify({ type: "tokens", input_ids: ids, labels }) + "\n"
    ).join(""),
  );
}
