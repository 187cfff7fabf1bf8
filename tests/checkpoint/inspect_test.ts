/** `inspect` refuses everything that must be refused, directories with an index included. */
import { assert, assertMatch, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { inspectTensors } from "../../src/checkpoint/inspect.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { FormatError } from "../../src/formats/format_error.ts";
import { FIXTURES, model } from "./fixtures.ts";

const BROKEN = join(FIXTURES, "convert/broken");
const MODELS = ["llama/hf_bf16", "mixtral/hf", "bloom/hf_bin", "baichuan2/hf_bin"];

Deno.test("inspectTensors() refuses every broken file and directory", () => {
  for (const { name } of Deno.readDirSync(BROKEN)) {
    if (name === "expected.json") continue;
    const error = assertThrows(() => [...inspectTensors(join(BROKEN, name), { hash: true })]);
    assert(error instanceof FormatError || error instanceof ConfigError, name);
  }
});

Deno.test("inspectTensors() says what an index and its shards do not agree on", () => {
  const reasons = {
    index_missing_shard: /model-00002-of-00002.safetensors: there is no such file/,
    index_missing_tensor: /Cannot find in .*model-00001-of-00001.safetensors what .* names: b$/m,
    index_path_traversal: /must be one beside it: current value is "\.\.\//,
  };
  for (const [name, reason] of Object.entries(reasons)) {
    const inspect = () => [...inspectTensors(join(BROKEN, name), { hash: false })];
    assertMatch(assertThrows(inspect, Error).message, reason);
  }
});

Deno.test("inspectTensors() lists sharded models that are whole", () => {
  for (const name of MODELS) [...inspectTensors(model(name), { hash: true })];
});
