import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { stringify } from "@std/yaml";
import { describe, model, withDir } from "../checkpoint/fixtures.ts";
import { HubServer, type ServedModel, sha256 } from "../hub/hub_server.ts";
import { type Ended, ROOT, start } from "./start.ts";

const NAME = "meta-llama/tiny";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS = "model-00001-of-00002.safetensors";

function filesOf(dir: string): ServedModel {
  const files: Record<string, Uint8Array> = {};
  for (const { name } of Deno.readDirSync(dir)) files[name] = Deno.readFileSync(join(dir, name));
  return { commit: COMMIT, files };
}

function environment(hub: HubServer, dir: string): Record<string, string> {
  const env = { HF_ENDPOINT: hub.url, HF_HOME: join(dir, "hf"), HF_TOKEN: "hf_x", NO_COLOR: "1" };
  return { ...Deno.env.toObject(), LLMPIPE_CACHE_DIR: join(dir, "cache"), ...env };
}

const PROGRAM = ["run", "-A", "--quiet", "--no-check", join(ROOT, "main.ts")];

function run(env: Record<string, string>, ...args: string[]): Promise<Ended> {
  return start(Deno.execPath(), [...PROGRAM, ...args], { env });
}

Deno.test("llmpipe convert takes models of a hub, and saves them with download", () =>
  withDir(async (dir) => {
    await using hub = new HubServer({ [NAME]: filesOf(model("llama/hf_bf16")) });
    const env = environment(hub, dir);
    const saved = join(dir, "saved");
    const download = ["convert", "download", "--model-name", NAME, "--save-path", saved];
    const first = await run(env, ...download);
    assertEquals([first.code, first.stdout], [0, ""], first.stderr);
    assertMatch(first.stderr, /^Fetching meta-llama\/tiny: \d+ KiB\nFetched meta-llama\/tiny in /);
    assertMatch(
      first.stderr,
      /Wrote meta-llama\/tiny@0123456789abcdef\w+, \d+ files of .* to .*saved/,
    );
    assertEquals(describe(saved), describe(model("llama/hf_bf16")));
    const again = await run(env, ...download);
    assertEquals(again.code, 2);
    assertMatch(again.stderr, /must be empty or absent/);

    const offline = { ...env, HF_HUB_OFFLINE: "1" };
    const pipeline = join(dir, "pipeline");
    const there = await run(
      offline,
      ...["convert", "hg_to_pp", "--input-path", NAME, "--save-path", pipeline],
    );
    assertEquals(there.code, 0, there.stderr);
    assertEquals(describe(pipeline), describe(model("llama/hf_bf16")));
  }));

Deno.test("a download that is killed goes on where it was", () =>
  withDir(async (dir) => {
    const served = filesOf(model("llama/hf_bf16"));
    await using hub = new HubServer({ [NAME]: served });
    const env = environment(hub, dir);
    const args = ["convert", "download", "--model-name", NAME, "--save-path", join(dir, "saved")];
    const child = new Deno.Command(Deno.execPath(), {
      args: [...PROGRAM, ...args],
      env,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const stalled = hub.stall(WEIGHTS, 200_000);
    await stalled.reached;
    const blobs = join(dir, "hf/hub/models--meta-llama--tiny/blobs");
    const partial = join(blobs, `${sha256(served.files[WEIGHTS])}.incomplete`);
    const sizeNow = () => {
      try {
        return Deno.statSync(partial).size;
      } catch {
        return 0; // the hub is faster than the child: it has no file yet
      }
    };
    while (sizeNow() < 200_000) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    child.kill("SIGKILL");
    await child.status;
    stalled.release();
    const before = hub.bytesOf(WEIGHTS);
    const { code, stderr } = await run(env, ...args);
    assertEquals(code, 0, stderr);
    assertEquals(hub.bytesOf(WEIGHTS) - before, served.files[WEIGHTS].length - 200_000);
    assertMatch(stderr, /\d+ KiB of it is there/);
    assertEquals(describe(join(dir, "saved")), describe(model("llama/hf_bf16")));
  }));

Deno.test("llmpipe tokenize fetches no weights", () =>
  withDir(async (dir) => {
    const served = filesOf(join(ROOT, "tests/fixtures/tokenizers/bloom"));
    served.files[WEIGHTS] = new Uint8Array(1000);
    await using hub = new HubServer({ [NAME]: served });
    const { code, stderr } = await run(environment(hub, dir), "tokenize", "--model-path", NAME);
    assertEquals(code, 0, stderr);
    assertEquals(hub.bytesOf(WEIGHTS), 0);
    assert(hub.filesSent().includes("tokenizer.json"));
  }));

Deno.test("in training, one process fetches the model for all ranks", () =>
  withDir(async (dir) => {
    const served = filesOf(model("llama/hf_bf16"));
    await using hub = new HubServer({ [NAME]: served });
    const rows = Array.from({ length: 8 }, (_, i) => {
      const input_ids = Array.from({ length: 16 }, (_, t) => (i * 7 + t) % 60 + 1);
      return JSON.stringify({ type: "tokens", input_ids, labels: input_ids });
    });
    Deno.writeTextFileSync(join(dir, "data.jsonl"), rows.join("\n"));
    Deno.writeTextFileSync(
      join(dir, "run.yml"),
      stringify({
        model_path: NAME,
        data_path: join(dir, "data.jsonl"),
        save_path: join(dir, "run"),
        max_seq_len: 16,
        n_epoches: 1,
        train_micro_batch_size_per_gpu: 2,
        gradient_accumulation_steps: 2,
        threads: 1,
        model_topo: { process_topology: { axes: ["pipe", "data"], dims: [2, 1] }, parts: "auto" },
        optimizer: { type: "AdamW", params: { lr: 1e-3 } },
        bf16: { enabled: true },
      }),
    );
    const { code, stderr } = await run(environment(hub, dir), "train", join(dir, "run.yml"));
    assertEquals(code, 0, stderr);
    for (const [name, { length }] of Object.entries(served.files)) {
      if (hub.bytesOf(name) > 0) assertEquals(hub.bytesOf(name), length, name);
    }
    assertEquals(hub.served.filter(({ line }) => line.includes("/revision/")).length, 1);
    const kept = Deno.readTextFileSync(join(dir, "run/checkpoint_final/train_config.yml"));
    assertMatch(kept, new RegExp(`model_path: ['"]?${NAME}@${COMMIT}`));
  }));

Deno.test("a model that is nowhere is wrong usage; a hub that is not there is a failure", () =>
  withDir(async (dir) => {
    await using hub = new HubServer({});
    const env = environment(hub, dir);
    const missing = await run(env, "tokenize", "--model-path", "no/such");
    assertEquals(missing.code, 2);
    assertMatch(missing.stderr, /no such model.*nor is there a directory no\/such/);
    const wrong = await run(env, "convert", "download", "--model-name", "a b", "--save-path", dir);
    assertEquals(wrong.code, 2);
    assertMatch(wrong.stderr, /must be ORGANISATION\/MODEL/);
    const nowhere = { ...env, HF_ENDPOINT: "http://hub.invalid" };
    const failed = await run(nowhere, "tokenize", "--model-path", "no/such");
    assertEquals(failed.code, 1);
    assertMatch(
      failed.stderr,
      /Cannot reach http:\/\/hub.invalid.*; nor is there a directory \S+\n$/,
    );
  }));
