import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { parseByteSize } from "../../src/checkpoint/byte_size.ts";
import { fromF32, isFloatStored, toF32 } from "../../src/checkpoint/cast.ts";
import { convertToHuggingFace, convertToPipeline } from "../../src/checkpoint/convert.ts";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";
import { bytesOf, copyFiles, describe, FIXTURES, model, sha256, withDir } from "./fixtures.ts";

const MODELS = [
  "llama/hf_fp32",
  "llama/hf_bf16",
  "llama/hf_fp16",
  "llama_gqa/hf",
  "llama_rope_linear/hf",
  "llama_rope_llama3/hf",
  "llama_tied/hf",
  "bloom/hf",
  "bloom/hf_bin_legacy",
  "mixtral/hf",
  "baichuan2/hf_bin",
  "chatglm3/hf",
];

for (const name of MODELS) {
  Deno.test(`HF -> pp -> HF keeps every byte of ${name}`, () =>
    withDir(async (dir) => {
      const from = model(name);
      const [pp, hf] = [join(dir, "pp"), join(dir, "hf")];
      await convertToPipeline({ inputPath: from, savePath: pp });
      await convertToHuggingFace({ inputPath: pp, savePath: hf, maxShardBytes: 200_000 });
      const original = describe(from);
      assertEquals(describe(pp), original);
      assertEquals(describe(hf), original);
      const layers = new Set(Object.keys(original).map((key) => key.split("/")[0]));
      assertEquals(names(pp).filter((name) => name.startsWith("layer_")).length, layers.size);
      for (const dir of [pp, hf]) {
        assertEquals(
          Deno.readTextFileSync(join(dir, "config.json")),
          Deno.readTextFileSync(join(from, "config.json")),
        );
      }
      checkIndex(hf, 200_000);
    }));
}

Deno.test("HF -> pp -> HF keeps the type of each tensor when they differ", () =>
  withDir(async (dir) => {
    const from = join(dir, "mixed");
    Deno.mkdirSync(from);
    Deno.copyFileSync(join(model("llama_gqa/hf"), "config.json"), join(from, "config.json"));
    {
      using source = openModel(model("llama_gqa/hf"));
      const tensors = [];
      let n = 0;
      for (let layer = 0; layer < source.layerCount; layer++) {
        for (const tensor of source.names(layer)) {
          const bytes = bytesOf(source, layer, tensor);
          const dtype = (["BF16", "F16", "F32"] as const)[n++ % 3];
          const stored = fromF32(toF32(bytes, "BF16"), dtype);
          const { shape } = source.entry(layer, tensor);
          tensors.push({
            name: source.hfName(layer, tensor),
            dtype,
            shape,
            chunks: () => [stored],
          });
        }
      }
      writeSafetensors(join(from, "model.safetensors"), tensors);
    }
    const [pp, hf] = [join(dir, "pp"), join(dir, "hf")];
    await convertToPipeline({ inputPath: from, savePath: pp });
    await convertToHuggingFace({ inputPath: pp, savePath: hf, maxShardBytes: 1e9 });
    assertEquals(describe(hf), describe(from));
    assertEquals(names(hf), ["config.json", "model.safetensors"]);
    using file = openSafetensors(join(hf, "model.safetensors"));
    assertEquals(file.metadata, { format: "pt" });
  }));

for (const family of ["llama", "bloom", "mixtral", "baichuan2", "chatglm3"]) {
  Deno.test(`pp_to_hg of a trained ${family} checkpoint gives the reference's tensors`, () =>
    withDir(async (dir) => {
      const hf = join(dir, "hf");
      const save = join(FIXTURES, "convert", family, "pp_to_hg", "save");
      await convertToHuggingFace({ inputPath: save, savePath: hf, maxShardBytes: 1e9 });
      const expected = JSON.parse(
        Deno.readTextFileSync(join(save, "..", "expected_hf.json")),
      );
      using file = openSafetensors(join(hf, "model.safetensors"));
      const wanted = Object.keys(expected.tensors)
        .filter((name) => !expected.tied_may_be_left_out.includes(name));
      assertEquals([...file.tensors.keys()].sort(), wanted.sort());
      for (const [name, { dtype, shape }] of file.tensors) {
        assertEquals(shape, expected.tensors[name].shape);
        assert(isFloatStored(dtype));
        const f16 = fromF32(toF32(file.read(name), dtype), "F16");
        assertEquals(sha256(f16), expected.tensors[name].sha256_float16, name);
      }
      const type = expected.dtype_in;
      assertEquals(JSON.parse(Deno.readTextFileSync(join(hf, "config.json"))).torch_dtype, type);
    }));
}

const ORIGINALS = {
  llama: "llama/hf_fp16",
  bloom: "bloom/hf",
  mixtral: "mixtral/hf",
  baichuan2: "baichuan2/hf_bin",
  chatglm3: "chatglm3/hf",
};

for (const [family, original] of Object.entries(ORIGINALS)) {
  Deno.test(`the reference converter's own .pt files of ${family} are what they were made from`, () =>
    withDir(async (dir) => {
      const [pt, hf, ours] = [join(dir, "pt"), join(dir, "hf"), join(dir, "ours")];
      copyFiles(join(FIXTURES, "convert", family, "hg_to_pp"), pt);
      Deno.copyFileSync(join(model(original), "config.json"), join(pt, "config.json"));
      await convertToHuggingFace({ inputPath: pt, savePath: hf, maxShardBytes: 1e9 });
      await convertToPipeline({ inputPath: model(original), savePath: ours, dtype: "F16" });
      assertEquals(describe(pt), describe(ours));
      assertEquals(describe(hf), describe(ours));
    }));
}

Deno.test("a cast writes the type that was asked for and says so in config.json", () =>
  withDir(async (dir) => {
    const options = { inputPath: model("llama/hf_fp32"), savePath: join(dir, "pp") };
    const report = await convertToPipeline({ ...options, dtype: "BF16" });
    assertEquals(report, {
      files: 6,
      finishedBefore: 0,
      bytes: 500864,
      overflows: 0,
      underflows: 0,
      notFinite: {},
    });
    // Every weight of the reference model is exact in all three types.
    assertEquals(describe(join(dir, "pp")), describe(model("llama/hf_bf16")));
    const config = Deno.readTextFileSync(join(dir, "pp", "config.json"));
    assertEquals(config, Deno.readTextFileSync(join(model("llama/hf_bf16"), "config.json")));
  }));

Deno.test("a model file that becomes shorter while it is converted is named, and nothing is left", () =>
  withDir(async (dir) => {
    const [from, pp, hf] = [join(dir, "from"), join(dir, "pp"), join(dir, "hf")];
    copyFiles(model("llama/hf_bf16"), from);
    await convertToPipeline({ inputPath: from, savePath: pp });
    const cut = (path: string) => () => Deno.truncateSync(path, 1000);
    const shard = join(from, "model-00002-of-00002.safetensors");
    await assertRejects(
      () => convertToPipeline({ inputPath: from, savePath: hf, onProgress: cut(shard) }),
      ConfigError,
      `Cannot read ${shard} as it ends at byte`,
    );
    const layer = join(pp, "layer_04-model_states.safetensors");
    const options = { inputPath: pp, savePath: hf, maxShardBytes: 1e9 };
    await assertRejects(
      () => convertToHuggingFace({ ...options, onProgress: cut(layer) }),
      ConfigError,
      `Cannot read ${layer} as it ends at byte`,
    );
    assertEquals(names(dir), ["from", "pp"]);
  }));

Deno.test("tokenizer files and unknown extra files travel both ways, weights, state and folders do not", () =>
  withDir(async (dir) => {
    const from = join(dir, "from");
    copyFiles(model("llama/hf_bf16"), from);
    for (const folder of ["additional_chat_templates", "original"]) {
      Deno.mkdirSync(join(from, folder));
    }
    const travels = [
      "additional_chat_templates/rag.jinja",
      ...["README.md", "chat_template.jinja", "generation_config.json", "modeling_x.py"],
      ...["special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"],
    ];
    const stays = [".lock", "training_args.bin", "flax_model.msgpack", "tf_model.h5"];
    const original = ["original/consolidated.00.pth", "original/params.json"];
    for (const name of [...travels, ...stays, ...original]) {
      Deno.writeTextFileSync(join(from, name), name);
    }
    const [pp, hf] = [join(dir, "pp"), join(dir, "hf")];
    await convertToPipeline({ inputPath: from, savePath: pp });
    Deno.writeTextFileSync(join(pp, "pytorch_model.bin"), "of the other layout");
    await convertToHuggingFace({ inputPath: pp, savePath: hf, maxShardBytes: 1e9 });
    for (const written of [pp, hf]) {
      const extra = names(written).filter((name) => !/^(layer_|model\.|pytorch_model)/.test(name));
      const folders = travels.map((name) => name.split("/")[0]);
      assertEquals(extra, [...folders, "config.json"].sort());
      for (const name of travels) {
        assertEquals(Deno.readTextFileSync(join(written, name)), name);
      }
    }
    assert(!names(hf).includes("pytorch_model.bin"));
    await convertToPipeline({ inputPath: from, savePath: pp, force: true });
  }));

Deno.test("pp_to_hg takes config.json and the tokenizer from above a checkpoint that has none", () =>
  withDir(async (dir) => {
    const [save, hf] = [join(dir, "save"), join(dir, "hf")];
    const from = join(FIXTURES, "convert/llama/pp_to_hg/save/checkpoint_final");
    copyFiles(from, join(save, "global_step7"));
    const above = { "tokenizer.json": "{}", "latest": "global_step7", "zero_to_fp32.py": "" };
    for (const [name, text] of Object.entries(above)) {
      Deno.writeTextFileSync(join(save, name), text);
    }
    Deno.renameSync(join(save, "global_step7/config.json"), join(save, "config.json"));
    await convertToHuggingFace({ inputPath: save, savePath: hf, maxShardBytes: 1e9 });
    assertEquals(names(hf), ["config.json", "model.safetensors", "tokenizer.json"]);
    assertEquals(describe(hf), describe(from));
  }));

Deno.test("convert refuses a path in use, its own input and the wrong layout, and changes nothing", () =>
  withDir(async (dir) => {
    const inputPath = join(dir, "model");
    copyFiles(model("llama/hf_bf16"), inputPath);
    const taken = join(dir, "taken");
    Deno.mkdirSync(taken);
    Deno.writeTextFileSync(join(taken, "notes.txt"), "mine");
    const before = describe(inputPath);
    const refused = async (savePath: string, force: boolean, message: string) => {
      const convert = () => convertToPipeline({ inputPath, savePath, force });
      await assertRejects(convert, ConfigError, message);
    };
    await refused(taken, false, "must be empty or absent: it holds 1 entries");
    await refused(taken, true, "must hold a model and no directories");
    await refused(dir, true, "must hold a model and no directories");
    await refused(inputPath, true, "the model to convert is there");
    await refused(join(taken, "notes.txt"), false, "Cannot use");
    await refused("/proc/llmpipe/pp", false, "Cannot write to /proc/llmpipe/pp");
    await assertRejects(
      () => convertToHuggingFace({ inputPath, savePath: join(dir, "x"), maxShardBytes: 1e9 }),
      ConfigError,
      "must be in pipeline layout: it is in Hugging Face layout",
    );
    assertEquals(describe(inputPath), before);
    assertEquals(names(dir), ["model", "taken"]);
  }));

Deno.test("--force replaces a model directory as a whole", () =>
  withDir(async (dir) => {
    const savePath = join(dir, "pp");
    await convertToPipeline({ inputPath: model("llama/hf_bf16"), savePath });
    Deno.writeTextFileSync(join(savePath, "old.txt"), "old");
    await convertToPipeline({ inputPath: model("llama_gqa/hf"), savePath, force: true });
    assertEquals(describe(savePath), describe(model("llama_gqa/hf")));
    assert(!names(savePath).includes("old.txt"));
    assertEquals(names(dir), ["pp"]);
  }));

Deno.test("a conversion that fails leaves nothing, and one that is stopped only what the next one needs", () =>
  withDir(async (dir) => {
    const inputPath = join(dir, "model");
    copyFiles(join(FIXTURES, "convert/llama/pp_to_hg/save/checkpoint_final"), inputPath);
    const path = join(inputPath, "layer_03-model_states.pt");
    const bytes = Deno.readFileSync(path);
    bytes[5000] ^= 1;
    Deno.writeFileSync(path, bytes);
    const options = { inputPath, savePath: join(dir, "hf"), maxShardBytes: 8000 };
    await assertRejects(() => convertToHuggingFace(options), ConfigError, "checksum");
    const stop = new AbortController();
    stop.abort(new Error("stopped"));
    await assertRejects(
      () =>
        convertToPipeline({
          inputPath: model("llama/hf_bf16"),
          savePath: join(dir, "pp"),
          signal: stop.signal,
        }),
      Error,
      "stopped",
    );
    assertEquals(names(dir), ["model", "pp.partial"]);
  }));

Deno.test("pp_to_hg refuses tied matrices that have come apart", () =>
  withDir(async (dir) => {
    const pp = join(dir, "pp");
    await convertToPipeline({ inputPath: model("llama_tied/hf"), savePath: pp });
    const path = join(pp, "layer_05-model_states.safetensors");
    const bytes = Deno.readFileSync(path);
    bytes[4000] ^= 1;
    Deno.writeFileSync(path, bytes);
    await assertRejects(
      () => convertToHuggingFace({ inputPath: pp, savePath: join(dir, "hf"), maxShardBytes: 1e9 }),
      ConfigError,
      "ties head and embedding, which must be equal: embed_tokens.weight of",
    );
    assertEquals(names(dir), ["pp"]);
  }));

Deno.test("parseByteSize() reads decimal and binary units and refuses everything else", () => {
  const sizes = { "1GB": 1e9, "500MB": 5e8, "2GiB": 2 ** 31, "1.5kb": 1500, "123": 123, "7 B": 7 };
  for (const [text, bytes] of Object.entries(sizes)) assertEquals(parseByteSize(text), bytes);
  for (const text of ["", "0", "-1GB", "1XB", "GB", "1e9", "0.1B", "99999999TB"]) {
    assertEquals(parseByteSize(text), undefined, text);
  }
});

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}

/** Shards and their index as Hugging Face writes them. */
function checkIndex(dir: string, maxBytes: number): void {
  const index = JSON.parse(Deno.readTextFileSync(join(dir, "model.safetensors.index.json")));
  const map: Record<string, string> = index.weight_map;
  assertEquals(Object.keys(map), Object.keys(map).sort());
  const shards = [...new Set(Object.values(map))].sort();
  const count = String(shards.length).padStart(5, "0");
  let total = 0;
  for (const [i, shard] of shards.entries()) {
    assertEquals(shard, `model-${String(i + 1).padStart(5, "0")}-of-${count}.safetensors`);
    using file = openSafetensors(join(dir, shard));
    const bytes = [...file.tensors.values()].reduce((sum, t) => sum + t.byteLength, 0);
    assert(bytes <= maxBytes || file.tensors.size === 1);
    total += bytes;
  }
  assertEquals(index.metadata, { total_size: total });
}
