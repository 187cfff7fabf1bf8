/** `llmpipe generate`. @module */
import { generate as run } from "../inference/generate.ts";
import { choice, deviceChoice, number, readFlags, repeated, required, toggle } from "./flags.ts";
import { modelDirectory } from "./local_model.ts";
import { writeOut } from "./standard_output.ts";
import { UsageError } from "./usage_error.ts";

/** Runs `llmpipe generate ARGS`: the continuation goes to stdout as it comes. Returns the exit status. */
export async function generate(args: string[]): Promise<number> {
  const integer = (min: number) => ({ min, integer: true });
  const flags = readFlags(args, {
    "model-path": required,
    "prompt": required,
    "chat": toggle,
    "max-new-tokens": number(integer(1), 128),
    "temperature": number({ min: 0 }, undefined),
    "top-k": number(integer(1), undefined),
    "top-p": number({ min: 0, max: 1 }, undefined),
    "seed": number(integer(0), 0),
    "stop": repeated,
    "dtype": choice(["f32", "bf16", "fp16"], undefined),
    "threads": number({ ...integer(1), max: 4096 }, 0),
    "device": deviceChoice,
  });
  const narrows = flags["top-k"] !== undefined || flags["top-p"] !== undefined;
  const temperature = flags.temperature ?? (narrows ? 1 : 0);
  if (narrows && temperature === 0) {
    throw new UsageError("The options --top-k and --top-p need a --temperature above 0");
  }
  const stream = run({
    modelPath: await modelDirectory(flags["model-path"], "weights"),
    prompt: flags.prompt,
    chat: flags.chat,
    maxNewTokens: flags["max-new-tokens"],
    temperature,
    topK: flags["top-k"] ?? 0,
    topP: flags["top-p"] ?? 1,
    seed: flags.seed,
    stop: flags.stop,
    dtype: flags.dtype === "fp16" ? "f16" : flags.dtype,
    threads: flags.threads,
    device: flags.device,
  });
  let next = stream.next();
  for (; !next.done; next = stream.next()) writeOut(next.value);
  writeOut("\n");
  const { promptTokens, prefillSeconds, newTokens, decodeSeconds } = next.value;
  const rate = (tokens: number, seconds: number) => (tokens / Math.max(seconds, 1e-9)).toFixed(1);
  console.error(
    `prompt: ${promptTokens} tokens, ${rate(promptTokens, prefillSeconds)} tokens/s; ` +
      `generated: ${newTokens} tokens, ${rate(Math.max(0, newTokens - 1), decodeSeconds)} tokens/s`,
  );
  return 0;
}
