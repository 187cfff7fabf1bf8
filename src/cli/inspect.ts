/** `llmpipe inspect`. @module */
import { existsSync } from "node:fs";
import { inspectTensors } from "../checkpoint/inspect.ts";
import { ConfigError } from "../config/config_error.ts";
import { FormatError } from "../formats/format_error.ts";
import { describeError } from "./describe_error.ts";
import { readFlags, toggle } from "./flags.ts";
import { modelDirectory } from "./local_model.ts";
import { writeOut } from "./standard_output.ts";

/**
 * Runs `llmpipe inspect ARGS`: a line of JSON per tensor. Returns the exit status, 1 for a file that
 * is damaged or harmful: to find that out is what the command is for.
 */
export async function inspect(args: string[]): Promise<number> {
  const { _: [given], hash } = readFlags(args, { hash: toggle }, ["FILE|DIR"]);
  const path = await modelDirectory(given, "weights");
  if (!existsSync(path)) {
    throw new ConfigError(`Cannot inspect ${path}: there is no such file or directory`);
  }
  try {
    for (const line of inspectTensors(path, { hash })) writeOut(`${JSON.stringify(line)}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof ConfigError)) throw error;
    console.error(describeError(error));
    return 1;
  }
}
