/** `llmpipe plan`. @module */
import { loadConfig } from "../config/load.ts";
import { describePlan } from "../train/plan.ts";
import { readFlags, repeated } from "./flags.ts";

/** Runs `llmpipe plan CONFIG.yml`. Returns the exit status. */
export function plan(args: string[]): Promise<number> {
  const { _: [path], set } = readFlags(args, { set: repeated }, ["CONFIG.yml"]);
  const config = loadConfig(path, set);
  for (const warning of config.warnings) console.error(`warning: ${warning}`);
  console.log(describePlan(config));
  return Promise.resolve(0);
}
