/** `llmpipe tokenizer train`. @module */
import { trainTokenizer } from "../tokenizer/train/train.ts";
import { number, readFlags, repeated, required, toggle } from "./flags.ts";
import { UsageError } from "./usage_error.ts";

/** Runs `llmpipe tokenizer train ARGS`: writes Hugging Face tokenizer files. Returns the exit status. */
export function tokenizer(args: string[]): Promise<number> {
  if (args[0] !== "train") {
    throw new UsageError(`Expected tokenizer train: current word is ${args[0] ?? "missing"}`);
  }
  const flags = readFlags(args.slice(1), {
    "input": required,
    "vocab-size": number({ min: 1, integer: true }, undefined),
    "save-path": required,
    "special": repeated,
    "force": toggle,
  });
  const vocabSize = flags["vocab-size"];
  if (vocabSize === undefined) throw new UsageError("The option --vocab-size is required");
  const dir = flags["save-path"];
  const { special: specials, force } = flags;
  const size = trainTokenizer(flags.input, dir, { vocabSize, specials, force });
  const fewer = size < vocabSize ? `, fewer than ${vocabSize}: no other pair occurs twice` : "";
  console.error(`Wrote ${dir}/tokenizer.json: ${size} tokens${fewer}`);
  return Promise.resolve(0);
}
