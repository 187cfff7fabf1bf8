/** `llmpipe plan`. @module */
import { loadConfig } from "../config/load.ts";
import { describePlan } from "../train/plan.ts";
import { readFlags, repeated } from "./flags.ts";
import { modelDirectory } from "./local_model.ts";
import { writeOut } from "./standard_output.ts";

/** Runs `llmpipe plan CONFIG.yml`. Returns the exit status. */
export async function plan(args: string[]): Promise<number> {
  const { _: [path], set } = readFlags(args, { set: repeated }, ["CONFIG.yml"]);
  const given = loadConfig(path, set);
  for (const warning of given.warnings) console.error(`warning: ${warning}`);
  const modelPath = await modelDirectory(given.model_path, "config");
  writeOut(`${describePlan({ ...given, model_path: modelPath })}\n`);
  return 0;
}
