import { assert, assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { openSafetensors } from "../../src/formats/safetensors.ts";
import { copyFiles, describe, model, withDir } from "../checkpoint/fixtures.ts";
import { llmpipe } from "./start.ts";

const BROKEN = fromFileUrl(new URL("../fixtures/convert/broken", import.meta.url));

Deno.test("llmpipe convert goes both ways, and says on stderr what it wrote", () =>
  withDir(async (dir) => {
    const [hf, pp, back] = [model("llama/hf_bf16"), join(dir, "pp"), join(dir, "back")];
    const there = await llmpipe("convert", "hg_to_pp", "--input-path", hf, "--save-path", pp);
    assertEquals([there.code, there.stdout], [0, ""]);
    assert(/^Wrote 489 KiB of weights in 6 files to .*pp in/.test(there.stderr), there.stderr);
    const size = ["--max-shard-size", "200kB"];
    const again = await llmpipe(
      ...["convert", "pp_to_hg", "--input-path", pp, "--save-path", back, ...size],
    );
    assertEquals(again.code, 0);
    assert(/in 3 files/.test(again.stderr), again.stderr);
    assertEquals(describe(back), describe(hf));
    const refused = await llmpipe("convert", "hg_to_pp", "--input-path", hf, "--save-path", pp);
    assertEquals(refused.code, 2);
    assert(/must be empty or absent: it holds 7 entries/.test(refused.stderr), refused.stderr);
  }));

Deno.test("llmpipe convert names the tensors whose values are not finite where it casts", () =>
  withDir(async (dir) => {
    const hf = join(dir, "hf");
    copyFiles(model("llama_gqa/hf"), hf);
    const path = join(hf, "model-00002-of-00002.safetensors");
    using file = Deno.openSync(path, { write: true });
    using tensors = openSafetensors(path);
    for (
      const [name, bits] of [["lm_head.weight", 0x7f80], ["model.norm.weight", 0x7fc1]] as const
    ) {
      file.seekSync(tensors.tensors.get(name)!.begin, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(Uint16Array.of(bits).buffer));
    }
    const paths = (to: string) => ["--input-path", hf, "--save-path", join(dir, to)];
    const cast = await llmpipe("convert", "hg_to_pp", ...paths("cast"), "--dtype", "f32");
    assertEquals(cast.code, 0, cast.stderr);
    const warning = "Warning: Values of the model are NaN or infinite and stay so: " +
      "1 of model.norm.weight, 1 of lm_head.weight\n";
    assertEquals(cast.stderr.slice(0, warning.length), warning);
    const kept = await llmpipe("convert", "hg_to_pp", ...paths("kept"));
    assertEquals([kept.code, kept.stderr.includes("Warning")], [0, false]);
  }));

Deno.test("llmpipe convert refuses wrong usage with status 2", async () => {
  const flags = ["--input-path", "x", "--save-path", "y"];
  const cases: [args: string[], message: RegExp][] = [
    [[], /Expected hg_to_pp, pp_to_hg or download/],
    [["hg_to_pp", "--save-path", "y"], /--input-path is required/],
    [["hg_to_pp", "--input-path", "", "--save-path", "y"], /--input-path needs a value.* is empty/],
    [["hg_to_pp", ...flags, "--forse"], /Unknown option --forse, did you mean --force/],
    [["hg_to_pp", ...flags, "--dtype", "int8"], /--dtype must be one of keep, f32, bf16, fp16/],
    [["pp_to_hg", ...flags, "--max-shard-size", "1XB"], /must be a size such as 500MB/],
    [["pp_to_hg", ...flags], /Cannot read x: there is no such directory/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await llmpipe("convert", ...args);
    assertEquals(code, 2, stderr);
    assert(message.test(stderr), stderr);
  }
});

Deno.test("llmpipe inspect lists tensors as lines of JSON and refuses a harmful file with status 1", async () => {
  const { code, stdout } = await llmpipe("inspect", model("llama_gqa/hf"), "--hash");
  assertEquals(code, 0);
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.length, 39);
  assertEquals(Object.keys(lines[0]), ["file", "name", "dtype", "shape", "sha256"]);
  const save = fromFileUrl(new URL("../fixtures/convert/bloom/pp_to_hg/save", import.meta.url));
  const trained = await llmpipe("inspect", save);
  assert(/checkpoint_final\/layer_00-model_states.pt","name":"word/.test(trained.stdout));
  const harmful = await llmpipe("inspect", join(BROKEN, "os_system_zip.pt"));
  assertEquals([harmful.code, harmful.stdout], [1, ""]);
  assert(/asks for posix.system/.test(harmful.stderr));
});
