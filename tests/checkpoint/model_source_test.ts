import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { fromF32, isFloatStored, toF32 } from "../../src/checkpoint/cast.ts";
import { openModel, readModelConfig } from "../../src/checkpoint/model_source.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";
import { bytesOf, copyFiles, describe, FIXTURES, model, sha256, withDir } from "./fixtures.ts";

const MODELS = [
  "llama/hf_fp32",
  "llama/hf_bf16",
  "llama/hf_fp16",
  "bloom/hf",
  "bloom/hf_bin",
  "bloom/hf_bin_legacy",
  "mixtral/hf",
  "baichuan2/hf_bin",
  "chatglm3/hf",
  "chatglm3/hf_bin",
];

for (const name of MODELS) {
  Deno.test(`openModel() finds the tensors of ${name} where the reference converter puts them`, () => {
    using source = openModel(model(name));
    assertEquals(source.layout, "hf");
    const family = name.split("/")[0];
    const mapping = JSON.parse(
      Deno.readTextFileSync(join(FIXTURES, "convert", family, "hg_to_pp", "mapping.json")),
    );
    const files = Object.keys(mapping.layers).sort();
    assertEquals(files.length, source.layerCount);
    for (const [layer, file] of files.entries()) {
      const wanted = mapping.layers[file];
      assertEquals(source.names(layer).sort(), Object.keys(wanted).sort());
      for (const [tensor, { from, shape, sha256: hash }] of Object.entries<Mapped>(wanted)) {
        const entry = source.entry(layer, tensor);
        assertEquals(entry.shape, shape);
        assert(isFloatStored(entry.dtype));
        const f16 = fromF32(toF32(bytesOf(source, layer, tensor), entry.dtype), "F16");
        assertEquals(sha256(f16), hash, `${file} ${tensor}`);
        if (!source.tied || from !== "lm_head.weight") {
          assertEquals(source.hfName(layer, tensor), from);
        }
      }
    }
  });
}

interface Mapped {
  from: string;
  shape: number[];
  sha256: string;
}

for (const name of ["baichuan2/hf_bin", "chatglm3/hf_bin"]) {
  Deno.test(`openModel() finds the same bytes in ${name} as in safetensors`, () => {
    assertEquals(describe(model(name)), describe(model(`${name.split("/")[0]}/hf`)));
  });
}

Deno.test("openModel() reads the layer files of the reference converter", () =>
  withDir((dir) => {
    copyFiles(join(FIXTURES, "convert/llama/hg_to_pp"), dir);
    Deno.copyFileSync(join(model("llama/hf_fp16"), "config.json"), join(dir, "config.json"));
    using source = openModel(dir);
    assertEquals(source.layout, "pipeline");
    assertEquals(describe(dir), describe(model("llama/hf_fp16")));
  }));

Deno.test("openModel() follows latest of a trained run, and so does readModelConfig()", () => {
  const save = join(FIXTURES, "convert/bloom/pp_to_hg/save");
  using source = openModel(save);
  assertEquals([source.layout, source.family, source.layerCount], ["pipeline", "bloom", 5]);
  assertEquals(source.dir, join(save, "checkpoint_final"));
  assertEquals(readModelConfig(save), source.config);
});

Deno.test("openModel() reads what DeepSpeed leaves: tags, three-axis names, config.json above", () =>
  withDir((dir) => {
    const from = join(FIXTURES, "convert/llama/pp_to_hg/save/checkpoint_final");
    for (const tag of ["global_step10", "global_step20"]) {
      const to = join(dir, tag);
      copyFiles(from, to);
      Deno.removeSync(join(to, "config.json"));
      for (const layer of ["00", "01", "02", "03"]) {
        const name = `layer_${layer}-model_states.pt`;
        Deno.renameSync(join(to, name), join(to, name.replace("-", "-model_00-")));
      }
      Deno.writeTextFileSync(join(to, "zero_pp_rank_0_mp_rank_00_optim_states.pt"), "state");
    }
    Deno.writeTextFileSync(join(dir, "global_step10/layer_00-model_00-model_states.pt"), "broken");
    assertThrows(
      () => openModel(dir),
      ConfigError,
      `has no file latest that names one: give one of ${join(dir, "global_step10")}, `,
    );
    Deno.writeTextFileSync(join(dir, "latest"), "global_step20\n");
    Deno.copyFileSync(join(from, "config.json"), join(dir, "config.json"));
    for (const path of [dir, join(dir, "global_step20")]) {
      assertEquals(describe(path), describe(from));
      using source = openModel(path);
      assertEquals([source.dir, source.configDir], [join(dir, "global_step20"), dir]);
      assertEquals(readModelConfig(path), source.config);
    }
    assertThrows(() => openModel(join(dir, "global_step10")), ConfigError, "layer_00-model_00");
    const slice = join(dir, "global_step20/layer_01-model_01-model_states.pt");
    Deno.writeTextFileSync(slice, "");
    assertThrows(() => openModel(dir), ConfigError, "as layers must be whole");
  }));

Deno.test("openModel() gives the head of a tied model the embedding and its Hugging Face name", () => {
  using source = openModel(model("llama_tied/hf"));
  assertEquals(source.names(5), ["norm.weight", "embed_tokens.weight"]);
  assertEquals(source.hfName(5, "embed_tokens.weight"), "model.embed_tokens.weight");
  assertEquals(source.layerName("model.embed_tokens.weight"), {
    layer: 0,
    name: "embed_tokens.weight",
  });
  assertEquals(source.layerName("lm_head.weight"), undefined);
  assertEquals(
    bytesOf(source, 5, "embed_tokens.weight"),
    bytesOf(source, 0, "embed_tokens.weight"),
  );
});

Deno.test("openModel() passes over inv_freq of blocks or model and a head that a tie makes unused", () =>
  withDir((dir) => {
    rewrite(model("llama_tied/hf"), dir, (tensors) => {
      const extra = { dtype: "F32" as const, shape: [2], chunks: () => [new Uint8Array(8)] };
      return [
        ...tensors,
        { name: "model.layers.0.self_attn.rotary_emb.inv_freq", ...extra },
        { name: "model.rotary_emb.inv_freq", ...extra },
        { name: "lm_head.weight", ...extra },
      ];
    });
    assertEquals(describe(dir), describe(model("llama_tied/hf")));
  }));

Deno.test("openModel() takes biases as config.json has them, no more and no fewer", () =>
  withDir((dir) => {
    const open = (name: string, changes: Record<string, unknown>) => {
      copyFiles(model(name), dir);
      const config = JSON.parse(Deno.readTextFileSync(join(dir, "config.json")));
      Deno.writeTextFileSync(join(dir, "config.json"), JSON.stringify({ ...config, ...changes }));
      openModel(dir);
    };
    for (const [key, part] of [["attention_bias", "self_attn"], ["mlp_bias", "mlp"]]) {
      const fewer = assertThrows(() => open("llama_bias/hf", { [key]: false }), ConfigError);
      assertMatch(fewer.message, RegExp(`no tensor named model.layers.0.${part}.\\w+_proj.bias`));
      const change = { model_type: "llama", [key]: true };
      const more = assertThrows(() => open("mistral/hf", change), ConfigError);
      assertMatch(more.message, RegExp(`Cannot find in .*: model.layers.0.${part}.\\w+_proj.bias`));
    }
  }));

Deno.test("openModel() names every tensor that is missing or left over, at once", () =>
  withDir((dir) => {
    rewrite(model("llama/hf_bf16"), dir, (tensors) => [
      ...tensors.filter(({ name }) => !/layers.[12].mlp.up_proj/.test(name)),
      { name: "model.extra", dtype: "U8", shape: [1], chunks: () => [new Uint8Array(1)] },
    ]);
    const { problems } = assertThrows(() => openModel(dir), ConfigError);
    assertEquals(problems.length, 2);
    assert(/no tensor named model.extra$/.test(problems[0]), problems[0]);
    assert(
      /Cannot find in .*: model.layers.1.mlp.up_proj.weight, model.layers.2.mlp.up_proj.weight$/
        .test(problems[1]),
      problems[1],
    );
  }));

Deno.test("openModel() refuses shards that are missing, damaged or not what the index says", () =>
  withDir((dir) => {
    const refused = (name: string, change: (dir: string) => void, ...parts: RegExp[]) => {
      const copy = join(dir, name);
      copyFiles(model("llama/hf_bf16"), copy);
      change(copy);
      const error = assertThrows(() => openModel(copy), ConfigError);
      for (const part of parts) assert(part.test(error.message), error.message);
    };
    const shard = "model-00002-of-00002.safetensors";
    refused(
      "missing",
      (copy) => Deno.removeSync(join(copy, shard)),
      /Cannot read .*model-00002-of-00002.safetensors: there is no such file$/,
    );
    refused(
      "cut",
      (copy) => Deno.truncateSync(join(copy, shard), 5000),
      /model-00002-of-00002.safetensors as its tensors must fill/,
    );
    refused(
      "empty",
      (copy) => Deno.truncateSync(join(copy, shard), 0),
      /model-00002-of-00002.safetensors as it must have 8 bytes or more: it has 0/,
    );
    for (const broken of ["index_missing_shard", "index_missing_tensor", "index_path_traversal"]) {
      refused(
        broken,
        (copy) => copyFiles(join(FIXTURES, "convert/broken", broken), copy),
        {
          index_missing_shard: /model-00002-of-00002.safetensors/,
          index_missing_tensor:
            /Cannot find in .*model-00001-of-00001.safetensors what .*index.json names: b/,
          index_path_traversal:
            /the file of a must be one beside it: .*"..\/..\/..\/..\/etc\/passwd"/,
        }[broken]!,
      );
    }
    refused(
      "no config",
      (copy) => Deno.removeSync(join(copy, "config.json")),
      /config.json: there is no such file/,
    );
    refused(
      "bad config",
      (copy) => Deno.writeTextFileSync(join(copy, "config.json"), "{"),
      /config.json: /,
    );
    refused(
      "family",
      (copy) => Deno.writeTextFileSync(join(copy, "config.json"), '{"model_type": "gpt2"}'),
      /model_type must be one of .*llama.*: current value is "gpt2"/,
    );
    refused(
      "layers",
      (copy) =>
        Deno.writeTextFileSync(
          join(copy, "config.json"),
          '{"model_type": "llama", "num_hidden_layers": 4.5}',
        ),
      /num_hidden_layers must be an integer from 1 to 10000: current value is 4.5/,
    );
  }));

Deno.test("openModel() takes the last of the shards that an index names for a tensor, as Python does", () =>
  withDir((dir) => {
    copyFiles(model("llama/hf_bf16"), dir);
    const index = join(dir, "model.safetensors.index.json");
    const text = Deno.readTextFileSync(index);
    const first = '"lm_head.weight": "model-00001-of-00002.safetensors"';
    const twice = text.replace('"weight_map": {', `$&${first},`);
    assertEquals(JSON.parse(twice), JSON.parse(text));
    Deno.writeTextFileSync(index, twice);
    assertEquals(describe(dir), describe(model("llama/hf_bf16")));
    Deno.writeTextFileSync(index, text.replace(/("lm_head.weight": "[^"]+")/, `$1,${first}`));
    assertThrows(() => openModel(dir), ConfigError, "names: lm_head.weight");
  }));

Deno.test("openModel() names the method by which weights are quantized before it misses tensors", () =>
  withDir((dir) => {
    copyFiles(model("llama/hf_bf16"), dir);
    const config = JSON.parse(Deno.readTextFileSync(join(dir, "config.json")));
    config.quantization_config = { quant_method: "awq", bits: 4 };
    Deno.writeTextFileSync(join(dir, "config.json"), JSON.stringify(config));
    for (const { name } of [...Deno.readDirSync(dir)]) {
      if (name.includes("safetensors")) Deno.removeSync(join(dir, name));
    }
    writeSafetensors(join(dir, "model.safetensors"), []);
    assertThrows(
      () => openModel(dir),
      ConfigError,
      'current quant_method is "awq" (if the weights',
    );
  }));

Deno.test("openModel() refuses layer files that are missing or more than config.json makes", () =>
  withDir((dir) => {
    const save = join(FIXTURES, "convert/llama/pp_to_hg/save/checkpoint_final");
    copyFiles(save, dir);
    Deno.renameSync(join(dir, "layer_02-model_states.pt"), join(dir, "layer_07-model_states.pt"));
    const error = assertThrows(() => openModel(dir), ConfigError);
    assert(/layer_07-model_states.pt as config.json makes 4 layers/.test(error.message));
    assert(/Cannot find layer_02-model_states.safetensors/.test(error.message));
  }));

Deno.test("openModel() says what a directory without a model lacks", () =>
  withDir((dir) => {
    assertThrows(() => openModel(join(dir, "nowhere")), ConfigError, "there is no such directory");
    Deno.copyFileSync(join(model("llama/hf_bf16"), "config.json"), join(dir, "config.json"));
    assertThrows(() => openModel(dir), ConfigError, "Cannot find a model in");
    Deno.removeSync(join(dir, "config.json"));
    Deno.writeTextFileSync(join(dir, "latest"), "../../etc");
    assertThrows(() => openModel(dir), ConfigError, "must name a directory beside it");
  }));

Deno.test("read() of a layer file that fails its checksum is an error of the user's file", () =>
  withDir((dir) => {
    copyFiles(join(FIXTURES, "convert/llama/pp_to_hg/save/checkpoint_final"), dir);
    const path = join(dir, "layer_00-model_states.pt");
    const bytes = Deno.readFileSync(path);
    bytes[5000] ^= 1;
    Deno.writeFileSync(path, bytes);
    using source = openModel(dir);
    assertThrows(
      () => bytesOf(source, 0, "embed_tokens.weight"),
      ConfigError,
      "checksum of its entry layer_00-model_states/data/0",
    );
  }));

type Tensors = Parameters<typeof writeSafetensors>[1];
type TensorList = Tensors extends Iterable<infer T> ? T[] : never;

/** Writes a sharded model as one file, its tensors changed. */
function rewrite(from: string, to: string, change: (tensors: TensorList) => TensorList): void {
  Deno.copyFileSync(join(from, "config.json"), join(to, "config.json"));
  const tensors: TensorList = [];
  for (const { name } of Deno.readDirSync(from)) {
    if (!name.endsWith(".safetensors")) continue;
    using file = openSafetensors(join(from, name));
    for (const [name, { dtype, shape }] of file.tensors) {
      const bytes = file.read(name);
      tensors.push({ name, dtype, shape, chunks: () => [bytes] });
    }
  }
  writeSafetensors(join(to, "model.safetensors"), change(tensors));
}
