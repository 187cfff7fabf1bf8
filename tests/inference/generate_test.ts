import { assertEquals } from "@std/assert";
import { generate, type GenerateOptions } from "../../src/inference/generate.ts";
import { isAvailable } from "../ops/check_op.ts";
import { withTokenizer } from "./with_tokenizer.ts";

const PROMPT = "the quick brown fox";

function textOf(modelPath: string, options: Partial<GenerateOptions>): string {
  const defaults = { maxNewTokens: 24, temperature: 0, topK: 0, topP: 1, seed: 0, stop: [] };
  return [...generate({ modelPath, prompt: PROMPT, threads: 1, ...defaults, ...options })].join("");
}

for (const backend of ["cuda", "cudaemu"] as const) {
  for (const name of ["llama_gqa", "bloom"]) {
    Deno.test({
      name: `generate() writes on ${backend} what it writes on the CPU (${name})`,
      ignore: !isAvailable(backend),
      fn: () => {
        using model = withTokenizer(name);
        // f32: in 16 bits a number that falls between two tokens may choose either
        const texts = (options: Partial<GenerateOptions>) =>
          (["cpu", backend] as const).map((device) =>
            textOf(model.dir, { dtype: "f32", ...options, device })
          );
        const [likeliest, same] = texts({});
        assertEquals(same, likeliest);
        assertEquals(likeliest.length > 0, true);
        const [drawn, drawnSame] = texts({ temperature: 4, topK: 20, topP: 0.9, seed: 5 });
        assertEquals(drawnSame, drawn);
        assertEquals(drawn === likeliest, false);
      },
    });
  }
}

Deno.test("generate() draws the same text for a seed, another for another", () => {
  using model = withTokenizer("llama_gqa");
  const drawn = (seed: number) => textOf(model.dir, { temperature: 1, seed, device: "cpu" });
  assertEquals(drawn(1), drawn(1));
  assertEquals(drawn(1) === drawn(2), false);
});

Deno.test("generate() writes nothing for the rows that pad a vocabulary", () => {
  using padded = withTokenizer("llama_gqa", { tokens: 34 });
  using whole = withTokenizer("llama_gqa");
  const options = { temperature: 4, seed: 3, device: "cpu" } as const;
  const text = textOf(whole.dir, options);
  const kept = text.replaceAll(/\((\d+)\)/g, (token, id) => Number(id) < 34 ? token : "");
  assertEquals(kept === text, false, "no row beyond the tokenizer was drawn");
  assertEquals(textOf(padded.dir, options), kept);
});
