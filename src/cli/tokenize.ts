/** `llmpipe tokenize`. @module */
import { resolveConfigDir } from "../checkpoint/model_dir.ts";
import { loadTokenizer } from "../tokenizer/mod.ts";
import { decodeLines, encodeLines, mapLines } from "../tokenizer/tokenize_lines.ts";
import { readFlags, required, toggle } from "./flags.ts";
import { modelDirectory } from "./local_model.ts";
import { writeOut } from "./standard_output.ts";
import { UsageError } from "./usage_error.ts";

/** Runs `llmpipe tokenize ARGS`: JSON Lines from stdin to stdout. Returns the exit status. */
export async function tokenize(args: string[]): Promise<number> {
  const flags = readFlags(args, {
    "model-path": required,
    "special": toggle,
    "decode": toggle,
    "skip-special": toggle,
  });
  if (flags.decode && flags.special) {
    throw new UsageError("The option --special cannot be used with --decode");
  }
  if (!flags.decode && flags["skip-special"]) {
    throw new UsageError("The option --skip-special needs --decode");
  }
  const modelDir = await modelDirectory(flags["model-path"], "config");
  const tokenizer = loadTokenizer(resolveConfigDir(modelDir));
  const mapper = flags.decode
    ? decodeLines(tokenizer, { skipSpecial: flags["skip-special"] })
    : encodeLines(tokenizer, { special: flags.special });
  for await (const block of mapLines(Deno.stdin.readable, mapper)) writeOut(block);
  return 0;
}
