/** Every family generates from its cache what it computes without one. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";
import { generate } from "../../src/inference/generate.ts";
import { computeLogits } from "../../src/inference/logits.ts";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { withTokenizer } from "./with_tokenizer.ts";

const MODELS = [
  ...["llama_gqa", "llama_rope_llama3", "llama_bias", "mistral", "mixtral", "qwen2"],
  ...["bloom", "baichuan2", "baichuan2_13b", "chatglm3"],
];
const PROMPT = "the quick brown fox";
const NEW_TOKENS = 10;

for (const name of MODELS) {
  Deno.test(`${name}: generate() writes the likeliest tokens of the logits`, () => {
    using model = withTokenizer(name);
    const options = {
      maxNewTokens: NEW_TOKENS,
      temperature: 0,
      topK: 0,
      topP: 1,
      seed: 0,
      stop: [],
    };
    const text = [
      ...generate({ modelPath: model.dir, prompt: PROMPT, dtype: "f32", ...options }),
    ].join("");
    const tokenizer = loadTokenizer(model.dir);
    const prompt = [...tokenizer.encode(PROMPT)];
    const ids = [...prompt];
    const { eos_token_id } = JSON.parse(Deno.readTextFileSync(join(model.dir, "config.json")));
    while (ids.length < prompt.length + NEW_TOKENS) {
      const id = likeliestAfter(model.dir, ids);
      if (id === eos_token_id) break;
      ids.push(id);
    }
    assertEquals(text, tokenizer.decode(ids.slice(prompt.length), { skipSpecial: true }));
    assert(ids.length > prompt.length + 2, "too few tokens to show anything");
  });
}

/** The token with the largest logit after `ids`, computed as a whole. */
function likeliestAfter(modelPath: string, ids: readonly number[]): number {
  const input = join(modelPath, "in.safetensors"), output = join(modelPath, "out.safetensors");
  const row = (name: string, values: readonly number[]) => ({
    name,
    dtype: "I64" as const,
    shape: [1, values.length],
    chunks: () => [new Uint8Array(BigInt64Array.from(values, BigInt).buffer)],
  });
  writeSafetensors(input, [row("input_ids", ids), row("attention_mask", ids.map(() => 1))]);
  computeLogits({ modelPath, input, output, zLoss: 0, grads: [], dtype: "f32" });
  using file = openSafetensors(output);
  const logits = new Float32Array(file.read("logits").slice().buffer);
  const last = logits.subarray(logits.length - logits.length / ids.length);
  return last.indexOf(Math.max(...last));
}
