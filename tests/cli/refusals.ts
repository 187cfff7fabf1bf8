/** Wrong uses of llmpipe as data, and what is expected of every refusal. @module */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { stringify } from "@std/yaml";
import { ROOT } from "../train/run_training.ts";

/** A llama of two blocks, width 48, 200 tokens, without a tokenizer. */
export const INIT = join(ROOT, "tests/fixtures/training/llama/init");
const TOKENIZER = join(ROOT, "tests/fixtures/tokenizers/llama");
/** Cases that run at once. */
const WIDTH = 3;

/** One wrong use. `DIR` in arguments and texts is the folder of the tests. */
export interface Case {
  /** Words after `llmpipe`; a configuration is train's. */
  args?: string[];
  /** Changes of a configuration that is right. */
  config?: Record<string, unknown>;
  /** Changes of its text. */
  edit?: (yaml: string) => string;
  /** What the error must contain. */
  says: string[];
  /** Exit status, 2 unless given. */
  status?: number;
  /** Shell words before the program: limits, or a pipe into it. */
  shell?: string;
  /** Shell words after the program. */
  after?: string;
}

/** Everything of these tests is below it; removed when the process ends. */
export const DIR = Deno.makeTempDirSync({ prefix: "llmpipe-bad-" });
globalThis.addEventListener("unload", () => Deno.removeSync(DIR, { recursive: true }));
/** A path below it. */
export const at = (name: string) => join(DIR, name);
/** Sixteen samples that are right. */
export const GOOD_SAMPLES = Array.from({ length: 16 }, (_, i) => {
  const ids = Array.from({ length: 5 + i % 8 }, (_, t) => 3 + (i * 7 + t * 3) % 190);
  return JSON.stringify({ type: "tokens", input_ids: ids, labels: ids }) + "\n";
}).join("");
let made = 0;

/** A data file of this text. */
export function dataFile(text: string): string {
  const path = at(`data_${made++}.jsonl`);
  Deno.writeTextFileSync(path, text);
  return path;
}

/** The data file that is right, with one more line. */
export const withSample = (line: string) => dataFile(GOOD_SAMPLES + line + "\n");

/** A copy of a small model. */
export function modelDir(change: (dir: string, config: Record<string, unknown>) => void): string {
  const dir = at(`model_${made++}`);
  Deno.mkdirSync(dir);
  Deno.copyFileSync(join(INIT, "model.safetensors"), join(dir, "model.safetensors"));
  const config = JSON.parse(Deno.readTextFileSync(join(INIT, "config.json")));
  change(dir, config);
  if (config.model_type) Deno.writeTextFileSync(join(dir, "config.json"), JSON.stringify(config));
  return dir;
}

/** Adds a tokenizer of 2600 tokens to a model. */
export function withTokenizer(dir: string): void {
  for (const { name } of Deno.readDirSync(TOKENIZER)) {
    if (/^(tokenizer|special)/.test(name)) {
      Deno.copyFileSync(join(TOKENIZER, name), join(dir, name));
    }
  }
}

/** The configuration of a case. */
export function configFile(savePath: string, { config = {}, edit = (yaml) => yaml }: Case): string {
  const path = at(`config_${made++}.yml`);
  const all = {
    data_path: at("good.jsonl"),
    model_path: INIT,
    save_path: savePath,
    max_seq_len: 16,
    n_epoches: 2,
    threads: 1,
    train_micro_batch_size_per_gpu: 1,
    gradient_accumulation_steps: 2,
    optimizer: { type: "AdamW", params: { lr: 1e-3 } },
    model_topo: grid([2, 1]),
    ...config,
  };
  Deno.writeTextFileSync(path, edit(stringify(all)));
  return path;
}

/** A configuration for a command that writes no save path. */
export const right = (config = {}) => configFile(at("unused"), { config, says: [] });

/** Training with another model. */
export const withModel = (model_path: string, ...says: string[]): Case => ({
  config: { model_path },
  says,
});

/** Training on other data. */
export const withData = (data_path: string, ...says: string[]): Case => ({
  config: { data_path },
  says,
});

/** A grid of ranks, and the layers of its stages. */
export const grid = (dims: number[], parts?: number[]) => ({
  process_topology: { axes: ["pipe", "data"], dims },
  ...(parts ? { parts } : {}),
});

/** Every file below a folder with its contents, in an order that does not change. */
function contentsOf(dir: string): [string, string][] {
  const found: [string, string][] = [];
  const walk = (path: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(path)) {
      const inner = join(path, name);
      if (isDirectory) walk(inner);
      else found.push([inner, Array.from(Deno.readFileSync(inner)).join()]);
    }
  };
  walk(dir);
  return found.sort();
}

/** Runs `llmpipe ARGS` with what the case has around it. */
export async function start(c: Case, args: string[]): Promise<{ status: number; stderr: string }> {
  const program = [Deno.execPath(), "run", "-A", "--no-check", "--quiet", join(ROOT, "main.ts")];
  const script = `${c.shell ?? ""} "$@" ${c.after ?? ""}`;
  const { code, stderr } = await new Deno.Command("sh", {
    args: ["-c", script, "sh", ...program, ...args],
    env: { NO_COLOR: "1", LLMPIPE_CACHE_DIR: at("cache") },
    stdin: "null",
    stdout: "null",
  }).output();
  return { status: code, stderr: new TextDecoder().decode(stderr) };
}

/** Runs a case and looks at status, text and save path. */
export async function check(name: string, c: Case): Promise<void> {
  const savePath = at(`save_${made++}`);
  Deno.mkdirSync(join(savePath, "mine"), { recursive: true });
  Deno.writeTextFileSync(join(savePath, "mine", "notes.txt"), "of the user");
  const before = contentsOf(savePath);
  const fill = (text: string) => text.replaceAll("DIR", DIR).replaceAll("SAVE", savePath);
  const args = c.args?.map(fill) ?? ["train", configFile(savePath, c)];
  const { status, stderr } = await start(c, args);
  const told = `${name}: ${stderr}`;
  assertEquals(status, c.status ?? 2, told);
  for (const part of c.says) assertStringIncludes(stderr, fill(part), name);
  const lines = stderr.trimEnd().split("\n");
  const own = lines.filter((line) => !/^\d\d:\d\d:\d\d warn /.test(line));
  if (status === 2) {
    assert(own[0].startsWith("llmpipe: "), `${told}\nbegins with something else`);
    assertEquals(contentsOf(savePath), before, told);
  }
  assert(lines.length <= 24, `${told}\nis more than a screen`);
  assert(!/^ {4}at |file:\/\/\/|\[object|looks like a fault/m.test(stderr), told);
  assert(!/undefined|NaN/.test(own[0]), told);
  assert(lines.filter((line) => /because:/.test(line)).length <= 1, `${told}\nhas several causes`);
}

/** A test of many cases, some at a time. */
export function expectRefused(title: string, cases: () => Record<string, Case>): void {
  Deno.test(title, async () => {
    Deno.writeTextFileSync(at("good.jsonl"), GOOD_SAMPLES);
    const left = Object.entries(cases());
    const work = async () => {
      for (let next = left.shift(); next; next = left.shift()) await check(...next);
    };
    await Promise.all(Array.from({ length: WIDTH }, work));
  });
}
