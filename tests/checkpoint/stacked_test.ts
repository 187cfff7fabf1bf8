/** Experts that a file has stacked in one tensor, as transformers 5 has them. */
import { assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { convertToPipeline } from "../../src/checkpoint/convert.ts";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import type { TensorData } from "../../src/formats/tensor_file.ts";
import { writeTorchTensors } from "../../src/formats/torch_writer.ts";
import { bytesOf, describe, model, withDir } from "./fixtures.ts";

/** The tensors of mixtral/hf under the names of `save_pretrained(save_original_format=False)`. */
function stackedTensors(): TensorData[] {
  using source = openModel(model("mixtral/hf"));
  const E = source.config.num_local_experts as number;
  const tensors: TensorData[] = [];
  for (let layer = 0; layer < source.layerCount; layer++) {
    const names = source.names(layer);
    const add = (name: string, shape: readonly number[], parts: string[]) => {
      const bytes = parts.map((part) => bytesOf(source, layer, part));
      const { dtype } = source.entry(layer, parts[0]);
      tensors.push({ name, dtype, shape, chunks: () => bytes });
    };
    for (const name of names.filter((name) => !name.includes(".experts."))) {
      const hfName = source.hfName(layer, name).replace("block_sparse_moe.gate", "mlp.gate");
      add(hfName, source.entry(layer, name).shape, [name]);
    }
    if (!names.some((name) => name.includes(".experts."))) continue;
    const each = (matrices: string[]) =>
      Array.from(
        { length: E },
        (_, e) => matrices.map((w) => `block_sparse_moe.experts.${e}.${w}.weight`),
      ).flat();
    const [F, D] = source.entry(layer, each(["w1"])[0]).shape;
    const prefix = `model.layers.${layer - 1}.mlp.experts.`;
    add(`${prefix}gate_up_proj`, [E, 2 * F, D], each(["w1", "w3"]));
    add(`${prefix}down_proj`, [E, D, F], each(["w2"]));
  }
  return tensors;
}

function withModel(tensors: TensorData[], file: string, body: (dir: string) => unknown) {
  return withDir(async (dir) => {
    const from = join(dir, "model");
    Deno.mkdirSync(from);
    Deno.copyFileSync(join(model("mixtral/hf"), "config.json"), join(from, "config.json"));
    const path = join(from, file);
    if (file.endsWith(".bin")) {
      using opened = Deno.openSync(path, { write: true, createNew: true });
      writeTorchTensors(opened, tensors);
    } else writeSafetensors(path, tensors);
    await body(from);
  });
}

for (const file of ["model.safetensors", "pytorch_model.bin"]) {
  Deno.test(`stacked experts of ${file} are read and converted as those that stand alone`, () =>
    withModel(stackedTensors(), file, async (dir) => {
      const wanted = describe(model("mixtral/hf"));
      assertEquals(describe(dir), wanted);
      const pp = join(dir, "..", "pp");
      await convertToPipeline({ inputPath: dir, savePath: pp });
      assertEquals(describe(pp), wanted);
    }));
}

Deno.test("a stack of another shape than config.json tells is refused", () => {
  const name = "model.layers.1.mlp.experts.gate_up_proj";
  const tensors = stackedTensors().map((tensor) => {
    const [E, R, C] = tensor.shape;
    return tensor.name === name ? { ...tensor, shape: [E / 2, R * 2, C] } : tensor;
  });
  return withModel(tensors, "model.safetensors", (dir) => {
    const error = assertThrows(() => openModel(dir), ConfigError, `Cannot use ${name} of`);
    assertEquals(
      /it must hold 2 of 4 experts: its shape is \[2, 384, 64\]/.test(error.message),
      true,
    );
  });
});
