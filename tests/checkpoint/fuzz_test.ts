import { assert } from "@std/assert";
import { join } from "@std/path";
import { openModel } from "../../src/checkpoint/model_source.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { mulberry32, mutate } from "../formats/mutate.ts";
import { bytesOf, copyFiles, model, withDir } from "./fixtures.ts";

Deno.test("a model directory with a damaged file is read or refused with a ConfigError", () =>
  withDir((dir) => {
    copyFiles(model("llama_gqa/hf"), dir);
    const random = mulberry32(7);
    const counts = { read: 0, refused: 0 };
    for (const name of [...Deno.readDirSync(dir)].map(({ name }) => name).sort()) {
      const path = join(dir, name);
      const original = Deno.readFileSync(path);
      for (let round = 0; round < 60; round++) {
        Deno.writeFileSync(path, mutate(original, random));
        try {
          using source = openModel(dir);
          for (let layer = 0; layer < source.layerCount; layer++) {
            for (const tensor of source.names(layer)) bytesOf(source, layer, tensor);
          }
          counts.read++;
        } catch (error) {
          if (!(error instanceof ConfigError)) {
            throw new Error(`${name} ${round}`, { cause: error });
          }
          counts.refused++;
        }
      }
      Deno.writeFileSync(path, original);
    }
    assert(counts.read > 20 && counts.refused > 100, JSON.stringify(counts));
  }));
