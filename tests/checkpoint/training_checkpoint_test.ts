import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { convertToHuggingFace } from "../../src/checkpoint/convert.ts";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { claimSavePath, findLatest, pruneCheckpoints } from "../../src/checkpoint/save_path.ts";
import {
  CheckpointWriter,
  openTrainingCheckpoint,
  stepName,
} from "../../src/checkpoint/training_checkpoint.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { describe, model, withDir } from "./fixtures.ts";
import { optimizerSources, save, weightSources } from "./save.ts";

const MODEL = model("llama_gqa/hf");

Deno.test("a checkpoint written by two ranks reads as the model and the optimizer's state", () =>
  withDir(async (dir) => {
    const name = stepName(20);
    assertEquals(name, "step_000020");
    const ranks = [0, 1].map(() => new CheckpointWriter({ savePath: dir, name, id: "a1" }));
    ranks[0].begin(1000);
    {
      using source = openModel(MODEL);
      for (let layer = 0; layer < source.layerCount; layer++) {
        const rank = ranks[layer < 2 ? 0 : 1];
        await rank.writeWeights(layer, weightSources(source, layer));
        await rank.writeOptimizer(layer, optimizerSources(source, layer));
      }
    }
    for (const rank of ranks) await rank.flush();
    assertEquals(names(dir), ["step_000020.tmp-a1"]);
    const committed = ranks[0].commit({
      step: 20,
      state: { lossScale: 65536 },
      modelDir: MODEL,
      weightsType: "BF16",
      files: { "train_config.yml": "seed: 1\n" },
    });
    assertEquals(names(dir), ["latest", "step_000020"]);
    assertEquals(committed, join(dir, name));
    assertEquals(names(committed).filter((name) => !name.startsWith("layer_")), [
      "config.json",
      "train_config.yml",
      "trainer_state.json",
    ]);
    assertEquals(describe(dir), describe(MODEL));
    using checkpoint = openTrainingCheckpoint(committed);
    assertEquals([checkpoint.step, checkpoint.state], [20, { lossScale: 65536 }]);
    for (let layer = 0; layer < checkpoint.model.layerCount; layer++) {
      checkpoint.verify(layer);
      for (const { name, dtype, chunks } of optimizerSources(checkpoint.model, layer)) {
        assertEquals(dtype, "F32");
        assertEquals(checkpoint.optimizer(layer).read(name), [...chunks()][0]);
      }
    }
  }));

Deno.test("a checkpoint can be exported and its save path read as a model", () =>
  withDir(async (dir) => {
    const savePath = join(dir, "run");
    Deno.mkdirSync(savePath);
    await save(savePath, MODEL, 1);
    const options = { savePath: join(dir, "hf"), maxShardBytes: 1e9 };
    await convertToHuggingFace({ inputPath: savePath, ...options });
    assertEquals(names(join(dir, "hf")), ["config.json", "model.safetensors"]);
    assertEquals(describe(join(dir, "hf")), describe(MODEL));
  }));

Deno.test("verify() names the file whose bytes have changed", () =>
  withDir(async (dir) => {
    const committed = await save(dir, MODEL, 1);
    for (const kind of ["model", "optim"]) {
      flip(join(committed, `layer_02-${kind}_states.safetensors`));
      using checkpoint = openTrainingCheckpoint(committed);
      checkpoint.verify(1);
      assertThrows(
        () => checkpoint.verify(2),
        ConfigError,
        `layer_02-${kind}_states.safetensors as its checksum must be`,
      );
      flip(join(committed, `layer_02-${kind}_states.safetensors`));
    }
  }));

Deno.test("findLatest() follows latest, and falls back to the last complete checkpoint", () =>
  withDir(async (dir) => {
    assertEquals(findLatest(dir).dir, undefined);
    const [one, two, three] = [
      await save(dir, MODEL, 1),
      await save(dir, MODEL, 2),
      await save(dir, MODEL, 3),
    ];
    assertEquals(findLatest(dir), { dir: three, passedOver: [] });
    Deno.writeTextFileSync(join(dir, "latest"), "step_000001");
    assertEquals(findLatest(dir), { dir: one, passedOver: [] });
    for (const damaged of ["", "step_000009", "../elsewhere", "\0\0\0"]) {
      Deno.writeTextFileSync(join(dir, "latest"), damaged);
      assertEquals(findLatest(dir).dir, three);
    }
    Deno.writeTextFileSync(join(dir, "latest"), "step_000003");
    Deno.truncateSync(join(three, "layer_01-optim_states.safetensors"), 100);
    const found = findLatest(dir);
    assert(found);
    assertEquals(found.dir, two);
    assert(
      /step_000003 as layer_01-optim_states.safetensors must have \d+ bytes: it has 100/
        .test(found.passedOver[0]),
    );
    Deno.writeTextFileSync(join(two, "trainer_state.json"), "{");
    assertEquals(findLatest(dir).dir, one);
    Deno.removeSync(join(one, "layer_00-model_states.safetensors"));
    assertEquals(findLatest(dir).dir, undefined);
  }));

Deno.test("a checkpoint of the same name is replaced as a whole", () =>
  withDir(async (dir) => {
    await save(dir, model("llama/hf_bf16"), 5);
    await save(dir, MODEL, 5);
    assertEquals(describe(dir), describe(MODEL));
    assertEquals(names(dir), ["latest", "step_000005"]);
  }));

Deno.test("pruneCheckpoints() keeps the newest and never what it did not make", () =>
  withDir(async (dir) => {
    for (const step of [5, 1, 2, 3]) await save(dir, MODEL, step);
    await save(dir, MODEL, 3, "checkpoint_final");
    Deno.mkdirSync(join(dir, "step_000000"));
    Deno.writeTextFileSync(join(dir, "step_000000", "notes.txt"), "mine");
    Deno.writeTextFileSync(join(dir, "latest"), "step_000005");
    // Saved last counts, not the number: step 5 belongs to a time before a roll back.
    assertEquals(pruneCheckpoints(dir, 2), [join(dir, "step_000001")]);
    Deno.writeTextFileSync(join(dir, "latest"), "step_000003");
    assertEquals(pruneCheckpoints(dir, 1), ["step_000002", "step_000005"].map((n) => join(dir, n)));
    assertEquals(names(dir), ["checkpoint_final", "latest", "step_000000", "step_000003"]);
  }));

Deno.test("claimSavePath() refuses a path that holds a run, unless it is resumed", () =>
  withDir(async (dir) => {
    const savePath = join(dir, "new", "run");
    {
      using claim = claimSavePath(savePath, { resume: false });
      assertEquals(claim.savePath, savePath);
      assertThrows(
        () => claimSavePath(savePath, { resume: true }),
        ConfigError,
        "another run is writing there now",
      );
    }
    assertEquals(names(join(dir, "new")), []); // nothing was written, so nothing stays
    Deno.mkdirSync(savePath);
    await save(savePath, MODEL, 1);
    Deno.mkdirSync(join(savePath, "step_000002.tmp-x7"));
    assertThrows(
      () => claimSavePath(savePath, { resume: false }),
      ConfigError,
      "already holds a run (latest, step_000001)",
    );
    claimSavePath(savePath, { resume: true })[Symbol.dispose]();
    assertEquals(names(savePath), ["latest", "step_000001"]);
  }));

Deno.test("claimSavePath() says that a path cannot be written", () => {
  assertThrows(
    () => claimSavePath("/proc/llmpipe/run", { resume: false }),
    ConfigError,
    "Cannot write to save_path /proc/llmpipe/run",
  );
});

Deno.test("begin() refuses to save more than the disk has room for", () =>
  withDir((dir) => {
    const writer = new CheckpointWriter({ savePath: dir, name: "step_000001", id: "x" });
    assertThrows(() => writer.begin(1e18), ConfigError, "must be free: current free space is");
    assertEquals(names(dir), []);
  }));

const MOUNTS = new Deno.Command("unshare", {
  args: ["--map-root-user", "--mount", "true"],
  stderr: "null",
});

Deno.test({
  name: "a full disk fails the save, leaves nothing of it and keeps earlier checkpoints",
  ignore: !(await canRun(MOUNTS)),
  fn: () =>
    withDir(async (dir) => {
      const script = fromFileUrl(new URL("./save_on_full_disk.ts", import.meta.url));
      const mount = 'mount -t tmpfs -o size=80m tmpfs "$0" && exec "$1" run -A "$2" "$0" "$3"';
      const { stdout, stderr } = await new Deno.Command("unshare", {
        args: [
          ...["--map-root-user", "--mount", "sh", "-c", mount],
          ...[dir, Deno.execPath(), script, MODEL],
        ],
      }).output();
      const text = new TextDecoder().decode(stdout) || new TextDecoder().decode(stderr);
      const { error, ...rest } = JSON.parse(text);
      assert(/^Cannot write \S+layer_0\d-\S+: No space left on device/.test(error), error);
      assertEquals(rest, {
        names: ["latest", "step_000001"],
        latest: "step_000001",
        intact: true,
      });
    }),
});

async function canRun(command: Deno.Command): Promise<boolean> {
  try {
    return (await command.output()).success;
  } catch {
    return false;
  }
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}

/** Changes a bit in the middle of a file. */
function flip(path: string): void {
  const bytes = Deno.readFileSync(path);
  bytes[bytes.length >> 1] ^= 1;
  Deno.writeFileSync(path, bytes);
}
