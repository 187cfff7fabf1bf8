/** A conversion that is killed is completed by the same command, in both directions and formats. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { convertToHuggingFace, convertToPipeline } from "../../src/checkpoint/convert.ts";
import { describeModel } from "../../src/models/registry.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import { sha256 } from "../checkpoint/fixtures.ts";
import { llmpipe, ROOT, TemporaryFolder } from "./start.ts";

/** Many layers: the more files, the surer it is that a conversion is killed in the middle. */
const CONFIG = {
  model_type: "llama",
  hidden_size: 64,
  intermediate_size: 128,
  vocab_size: 256,
  num_hidden_layers: 40,
  num_attention_heads: 4,
};

/** Files that are finished before the kill. */
const FINISHED = 2;

Deno.test("llmpipe convert completes what a kill interrupted: both ways, safetensors and .pt", async () => {
  await using folder = new TemporaryFolder();
  const at = (name: string) => join(folder.path, name);
  writeModel(at("hf"));
  const cast = ["--dtype", "bf16"], small = ["--max-shard-size", "50kB"];
  for (
    const [direction, from, to, ...flags] of [
      ["hg_to_pp", "hf", "pp", ...cast],
      ["hg_to_pp", "hf", "pt", ...cast, "--format", "pt"],
      ["pp_to_hg", "pp", "hf_of_pp", ...small],
      ["pp_to_hg", "pt", "hf_of_pt", ...small],
    ]
  ) {
    const convert = (
      save: string,
    ) => [direction, "--input-path", at(from), "--save-path", save, ...flags];
    const save = at(to);
    await startAndKill(convert(save), save);
    assertEquals(names(folder.path).filter((name) => name.startsWith(to)), [`${to}.partial`]);
    const finished = journalled(save);
    const second = await llmpipe("convert", ...convert(save));
    assertEquals(second.code, 0, second.stderr);
    assertStringIncludes(
      second.stderr,
      `Went on with an interrupted conversion: ${finished} of `,
    );
    const whole = { inputPath: at(from), savePath: at("once") };
    if (direction === "pp_to_hg") await convertToHuggingFace({ ...whole, maxShardBytes: 50_000 });
    else {
      const format = flags.includes("pt") ? "pt" : "safetensors";
      await convertToPipeline({ ...whole, dtype: "BF16", format });
    }
    assertEquals(hashes(save), hashes(at("once")));
    assertEquals(names(folder.path).filter((name) => name.includes("partial")), []);
    Deno.removeSync(at("once"), { recursive: true });
  }
  assertEquals(hashes(at("hf_of_pp")), hashes(at("hf_of_pt")));
});

/** Starts a conversion and kills it once some files are finished. */
async function startAndKill(args: string[], save: string): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "main.ts", "convert", ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let hasEnded = false;
  const ended = child.status.then((status) => {
    hasEnded = true;
    return status;
  });
  while (!hasEnded && journalled(save) < FINISHED) await new Promise((go) => setTimeout(go, 1));
  if (!hasEnded) child.kill("SIGKILL");
  assertEquals((await ended).signal, "SIGKILL", "the conversion ended before it could be killed");
}

/** Files that a conversion has noted as finished. */
function journalled(save: string): number {
  try {
    const journal = Deno.readTextFileSync(join(`${save}.partial`, "journal.jsonl"));
    return journal.match(/^\{"file":.*\}$/gm)?.length ?? 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

function writeModel(dir: string): void {
  Deno.mkdirSync(dir);
  Deno.writeTextFileSync(join(dir, "config.json"), JSON.stringify(CONFIG));
  const [, ...blocks] = describeModel(CONFIG).layers.slice(0, -1);
  const { vocab_size: V, hidden_size: D } = CONFIG;
  const shapes: [string, readonly number[]][] = [
    ["model.embed_tokens.weight", [V, D]],
    ...blocks.flatMap((specs, i) =>
      specs.map(({ name, shape }): [string, readonly number[]] => [
        `model.layers.${i}.${name}`,
        shape,
      ])
    ),
    ["model.norm.weight", [D]],
    ["lm_head.weight", [V, D]],
  ];
  let seed = 0;
  const tensors = shapes.map(([name, shape]) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    values.forEach((_, i) => values[i] = Math.sin(seed + i));
    seed++;
    const chunks = () => [new Uint8Array(values.buffer)];
    return { name, dtype: "F32" as const, shape: [...shape], chunks };
  });
  writeSafetensors(join(dir, "model.safetensors"), tensors);
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}

function hashes(dir: string): string[] {
  return names(dir).map((name) => `${name} ${sha256(Deno.readFileSync(join(dir, name)))}`);
}
