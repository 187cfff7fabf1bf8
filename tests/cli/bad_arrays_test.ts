/** What `logits` and `generate` are given and cannot compute, as in bad_input_test.ts. */
import { join } from "@std/path";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";
import { at, expectRefused, GOOD_SAMPLES, INIT, modelDir, withTokenizer } from "./refusals.ts";

expectRefused("logits and generate refuse what they cannot compute", () => {
  const batch = (
    name: string,
    ids: bigint[],
    dtype: "I64" | "I32" = "I64",
    rest: { mask?: bigint; labels?: bigint } = {},
  ) => {
    const shape = [ids.length && 1, ids.length];
    const bytes = new Uint8Array(
      dtype === "I64" ? BigInt64Array.from(ids).buffer : Int32Array.from(ids, Number).buffer,
    );
    const all = (value: bigint) => new Uint8Array(new BigInt64Array(ids.length).fill(value).buffer);
    const { mask = 1n, labels } = rest;
    writeSafetensors(at(name), [
      { name: "input_ids", dtype: dtype as "I64", shape, chunks: () => [bytes] },
      { name: "attention_mask", dtype: "I64", shape, chunks: () => [all(mask)] },
      ...(labels === undefined
        ? []
        : [{ name: "labels", dtype: "I64" as const, shape, chunks: () => [all(labels)] }]),
    ]);
    return at(name);
  };
  const logits = (input: string, ...rest: string[]) => ({
    args: ["logits", "--model-path", INIT, "--input", input, "--output", "SAVE/out", ...rest],
  });
  Deno.writeTextFileSync(at("good.jsonl"), GOOD_SAMPLES);
  const good = batch("good.safetensors", [3n, 4n, 5n]);
  const speaks = modelDir((dir, config) => {
    withTokenizer(dir);
    config.vocab_size = 2600;
    growVocabulary(join(dir, "model.safetensors"), 2600);
  });
  return {
    "no input": { ...logits("DIR/none"), says: ["Cannot read DIR/none"] },
    "not safetensors": { ...logits("DIR/good.jsonl"), says: ["DIR/good.jsonl as its header"] },
    "no ids": { ...logits(join(INIT, "model.safetensors")), says: ["it must hold input_ids"] },
    "a token beyond": {
      ...logits(batch("beyond.safetensors", [3n, 200n])),
      says: ["tokens must be in [0, 200): current value is 200"],
    },
    "a token beyond 32 bits": {
      ...logits(batch("large.safetensors", [3n, 2n ** 32n + 3n])),
      says: ["input_ids must hold 32-bit numbers: current value is 4294967299"],
    },
    "no rows": {
      ...logits(batch("none.safetensors", [])),
      says: ["input_ids must have rows and positions: current shape is [0, 0]"],
    },
    "a mask of zeros": {
      ...logits(batch("masked.safetensors", [3n, 4n], "I64", { mask: 0n })),
      says: ["row 0 of", "its attention_mask must have a 1"],
    },
    "a mask of others": {
      ...logits(batch("odd.safetensors", [3n, 4n], "I64", { mask: 7n })),
      says: ["its attention_mask must hold 0 and 1: current value is 7"],
    },
    "a label beyond": {
      ...logits(batch("label.safetensors", [3n, 4n], "I64", { labels: 200n })),
      says: ["its labels must be in [0, 200), or negative: current value is 200"],
    },
    "nothing to learn": {
      ...logits(batch("unlearned.safetensors", [3n, 4n], "I64", { labels: -100n })),
      says: ["Cannot compute a loss of", "are all negative"],
    },
    "another type": {
      ...logits(batch("narrow.safetensors", [3n, 4n], "I32")),
      says: ["input_ids must be [B, S] I64: current tensor is [1, 2] I32"],
    },
    "gradients without labels": { ...logits(good, "--grads", "all"), says: ["must hold labels"] },
    "no room for the output": {
      args: ["logits", "--model-path", INIT, "--input", good, "--output", "DIR/none/out"],
      says: ["Cannot write DIR/none/out"],
      status: 1,
    },
    "an empty prompt": {
      args: ["generate", "--model-path", speaks, "--prompt="],
      says: ["--prompt"],
    },
    "more than the model holds": {
      args: ["generate", "--model-path", speaks, "--prompt", "x", "--max-new-tokens", "5000"],
      says: ["the model was made for 64", "--max-new-tokens"],
    },
    "a million threads": {
      args: ["generate", "--model-path", speaks, "--prompt", "x", "--threads", "1000000"],
      says: ["--threads must be an integer from 1 to 4096"],
    },
    "a probability of 3": {
      args: ["generate", "--model-path", speaks, "--prompt", "x", "--top-p", "3"],
      says: ["--top-p must be a number from 0 to 1: current value is 3"],
    },
  };
});

/** Makes embedding and head of a model's file have this many rows, all of them zeros. */
function growVocabulary(path: string, rows: number): void {
  using small = openSafetensors(join(INIT, "model.safetensors"));
  writeSafetensors(
    path,
    [...small.tensors].map(([name, { dtype, shape, byteLength }]) => {
      const isVocabulary = /embed_tokens|lm_head/.test(name);
      const bytes = new Uint8Array(isVocabulary ? byteLength / shape[0]! * rows : byteLength);
      if (!isVocabulary) small.read(name, bytes);
      return {
        name,
        dtype,
        shape: isVocabulary ? [rows, shape[1]!] : shape,
        chunks: () => [bytes],
      };
    }),
  );
}
