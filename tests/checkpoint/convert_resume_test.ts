import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { type ConvertOptions, convertToPipeline } from "../../src/checkpoint/convert.ts";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { copyFiles, model, sha256, withDir } from "./fixtures.ts";

Deno.test("convert completes what a killed run began, and the result is that of one run", () =>
  withDir(async (dir) => {
    const [inputPath, savePath] = [outOfRange(dir), join(dir, "pp")];
    const script = fromFileUrl(new URL("convert_and_die.ts", import.meta.url));
    const { signal } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", script, inputPath, savePath],
    }).output();
    assertEquals(signal, "SIGKILL");
    assertEquals(names(dir), ["model", "pp.partial"]);
    const journal = Deno.readTextFileSync(join(dir, "pp.partial/journal.jsonl"));
    const finished = [...journal.matchAll(/"file":"([^"]+)"/g)].map(([, name]) => name);
    assert(finished.length >= 2, journal);
    await checkSecondRun(dir, { inputPath, savePath, dtype: "F16" }, finished);
  }));

Deno.test("convert writes again what is no longer as it was when it was finished", () =>
  withDir(async (dir) => {
    const options = {
      inputPath: outOfRange(dir),
      savePath: join(dir, "pp"),
      dtype: "F16" as const,
    };
    await stopAtLastFile(options);
    const files = join(dir, "pp.partial/files");
    const [cut, touched, gone, ...kept] = names(files);
    Deno.truncateSync(join(files, cut), 100);
    Deno.utimeSync(join(files, touched), 1, 1);
    Deno.removeSync(join(files, gone));
    Deno.writeTextFileSync(join(files, "layer_09-model_states.safetensors"), "left over");
    Deno.writeTextFileSync(join(dir, "pp.partial/journal.jsonl"), '\n{"file":"lay', {
      append: true,
    });
    await checkSecondRun(dir, options, kept);
  }));

Deno.test("convert does not go on with what was begun another way, unless --force starts it over", () =>
  withDir(async (dir) => {
    const options = {
      inputPath: outOfRange(dir),
      savePath: join(dir, "pp"),
      dtype: "F16" as const,
    };
    await stopAtLastFile(options);
    const refused = async (change: Partial<ConvertOptions>) => {
      await assertRejects(
        () => convertToPipeline({ ...options, ...change }),
        ConfigError,
        "was begun from other files or with other options: remove it, or start over with --force",
      );
    };
    await refused({ dtype: "BF16" });
    await refused({ inputPath: model("llama/hf_bf16") });
    const shard = join(options.inputPath, "model.safetensors");
    const bytes = Deno.readFileSync(shard);
    Deno.writeFileSync(shard, bytes);
    Deno.utimeSync(shard, 1e9, 1e9);
    await refused({});
    const report = await convertToPipeline({ ...options, force: true });
    assertEquals(report.finishedBefore, 0);
    assertEquals(names(dir), ["model", "pp"]);
  }));

Deno.test("convert leaves a partial directory alone that is not its own or in use", () =>
  withDir(async (dir) => {
    const options = { inputPath: model("llama/hf_bf16"), savePath: join(dir, "pp"), force: true };
    const partial = join(dir, "pp.partial");
    Deno.mkdirSync(partial);
    Deno.writeTextFileSync(join(partial, "notes.txt"), "mine");
    const run = () => convertToPipeline(options);
    await assertRejects(run, ConfigError, "it is no unfinished conversion: remove it or give");
    Deno.writeTextFileSync(join(partial, "journal.jsonl"), '{"mine": 1}');
    await assertRejects(run, ConfigError, "it is no unfinished conversion: remove it or give");
    assertEquals(names(partial), ["journal.jsonl", "notes.txt"]);
    Deno.removeSync(join(partial, "notes.txt"));
    {
      using other = Deno.openSync(join(partial, "journal.jsonl"), { read: true, write: true });
      other.lockSync(true);
      await assertRejects(run, ConfigError, "another conversion is writing there now");
    }
    await run();
    assertEquals(names(dir), ["pp"]);
  }));

/** Runs a conversion that goes on with another and compares it with one that was never stopped. */
async function checkSecondRun(
  dir: string,
  options: ConvertOptions & { savePath: string },
  finished: readonly string[],
): Promise<void> {
  const files = join(`${options.savePath}.partial`, "files");
  const before = finished.map((name) => Deno.statSync(join(files, name)));
  const second = await convertToPipeline(options);
  assertEquals(second.finishedBefore, finished.length);
  for (const [i, name] of finished.entries()) {
    const { ino, mtime } = Deno.statSync(join(options.savePath, name));
    assertEquals([ino, mtime], [before[i].ino, before[i].mtime], name);
  }
  const once = await convertToPipeline({ ...options, savePath: join(dir, "once") });
  assert(once.overflows > 0 && once.underflows > 0);
  assertEquals(once.notFinite["model.layers.0.self_attn.q_proj.weight"], 1);
  assertEquals(second, { ...once, finishedBefore: finished.length });
  assertEquals(names(dir), ["model", "once", "pp"]);
  assertEquals(hashes(options.savePath), hashes(join(dir, "once")));
}

/** Stops a conversion after its last file but one. */
async function stopAtLastFile(options: ConvertOptions): Promise<void> {
  const stop = new AbortController();
  await assertRejects(
    () =>
      convertToPipeline({
        ...options,
        signal: stop.signal,
        onProgress() {
          const files = names(join(`${options.savePath}.partial`, "files"));
          if (files.includes("layer_04-model_states.safetensors")) stop.abort(new Error("stopped"));
        },
      }),
    Error,
    "stopped",
  );
  const files = names(join(`${options.savePath}.partial`, "files"));
  assertMatch(files.at(-1)!, /layer_04/);
}

/** A model in which every file has values that f16 cannot hold. */
function outOfRange(dir: string): string {
  const path = join(dir, "model");
  copyFiles(model("llama/hf_fp32"), path);
  using source = openModel(path);
  const tensors = [];
  for (let layer = 0; layer < source.layerCount; layer++) {
    for (const name of source.names(layer)) {
      const { shape, bytes } = source.entry(layer, name);
      const values = new Float32Array(bytes / 4);
      source.read(layer, name, new Uint8Array(values.buffer));
      values.set([1e6, 1e-9, -1e6, NaN]);
      const chunks = () => [new Uint8Array(values.buffer)];
      tensors.push({ name: source.hfName(layer, name), dtype: "F32" as const, shape, chunks });
    }
  }
  for (const name of names(path)) if (name !== "config.json") Deno.removeSync(join(path, name));
  writeSafetensors(join(path, "model.safetensors"), tensors);
  return path;
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}

function hashes(dir: string): string[] {
  return names(dir).map((name) => `${name} ${sha256(Deno.readFileSync(join(dir, name)))}`);
}
