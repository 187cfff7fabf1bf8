/** A family reads the same from every kind of file that its models come in. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { convertToPipeline } from "../../src/checkpoint/convert.ts";
import { type ModelSource, openModel } from "../../src/checkpoint/model_source.ts";
import { FAMILY_NAMES } from "../../src/checkpoint/names/registry.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import type { TensorData } from "../../src/formats/tensor_file.ts";
import { writeTorchTensors } from "../../src/formats/torch_writer.ts";
import { describe, model, withDir } from "./fixtures.ts";

const MODELS = [
  ...["llama_gqa", "llama_rope_llama3", "llama_bias", "mistral", "mixtral", "qwen2"],
  ...["bloom", "baichuan2", "baichuan2_13b", "chatglm3"],
];

/** Writes a model into an empty directory in each of the formats. */
const FORMATS: Record<string, (source: ModelSource, dir: string) => Promise<void> | void> = {
  "model.safetensors": (source, dir) => writeModel(source, dir, "model.safetensors", 1),
  "sharded safetensors": (source, dir) => writeModel(source, dir, "model.safetensors", 3),
  "pytorch_model.bin": (source, dir) => writeModel(source, dir, "pytorch_model.bin", 1),
  "sharded pytorch_model.bin": (source, dir) => writeModel(source, dir, "pytorch_model.bin", 3),
  "layers in safetensors": ({ dir: inputPath }, savePath) =>
    writeLayers(inputPath, savePath, "safetensors"),
  "layers in .pt": ({ dir: inputPath }, savePath) => writeLayers(inputPath, savePath, "pt"),
  "a run of DeepSpeed": async ({ dir: inputPath }, dir) => {
    const tag = join(dir, "global_step7");
    await writeLayers(inputPath, tag, "pt");
    for (const name of names(tag)) {
      const to = join(tag, name.replace(/^(layer_\d+)-/, "$1-model_00-")); // a third axis of size 1
      Deno.renameSync(join(tag, name), to);
    }
    Deno.renameSync(join(tag, "config.json"), join(dir, "config.json"));
    Deno.writeTextFileSync(join(dir, "latest"), "global_step7");
    Deno.writeTextFileSync(join(tag, "mp_rank_00_model_states.pt"), "state that is not read");
  },
};

Deno.test("every family has a model here", () => {
  const families = MODELS.map((name) => {
    using source = openModel(model(`${name}/hf`));
    return source.family;
  });
  assertEquals([...new Set(families)].sort(), Object.keys(FAMILY_NAMES).sort());
});

for (const name of MODELS) {
  for (const [format, write] of Object.entries(FORMATS)) {
    Deno.test(`${name} reads the same from ${format}`, () =>
      withDir(async (dir) => {
        const from = model(`${name}/hf`);
        using source = openModel(from);
        await write(source, dir);
        assertEquals(describe(dir), describe(from));
      }));
  }
}

/** A Hugging Face directory in so many files of either format, with an index if there are several. */
function writeModel(source: ModelSource, dir: string, file: string, count: number): void {
  Deno.copyFileSync(join(source.configDir, "config.json"), join(dir, "config.json"));
  const tensors = hfTensors(source);
  const [stem, ending] = file.split(".");
  const map: Record<string, string> = {};
  for (let i = 0; i < count; i++) {
    const name = count === 1 ? file : `${stem}-0000${i + 1}-of-0000${count}.${ending}`;
    const part = tensors.filter((_, at) => at % count === i);
    if (ending === "bin") {
      using opened = Deno.openSync(join(dir, name), { write: true, createNew: true });
      writeTorchTensors(opened, part);
    } else writeSafetensors(join(dir, name), part);
    for (const tensor of part) map[tensor.name] = name;
  }
  if (count === 1) return;
  const index = { metadata: {}, weight_map: map };
  Deno.writeTextFileSync(join(dir, `${file}.index.json`), JSON.stringify(index));
}

/** Every tensor once, under its Hugging Face name. */
function hfTensors(source: ModelSource): TensorData[] {
  const tensors = new Map<string, TensorData>();
  for (let layer = 0; layer < source.layerCount; layer++) {
    for (const tensor of source.names(layer)) {
      const { dtype, shape } = source.entry(layer, tensor);
      const name = source.hfName(layer, tensor);
      const chunks = () => source.chunks(layer, tensor);
      if (!tensors.has(name)) tensors.set(name, { name, dtype, shape, chunks });
    }
  }
  return [...tensors.values()];
}

async function writeLayers(inputPath: string, savePath: string, format: "safetensors" | "pt") {
  await convertToPipeline({ inputPath, savePath, format });
  assert(names(savePath).includes(`layer_00-model_states.${format}`));
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name);
}
