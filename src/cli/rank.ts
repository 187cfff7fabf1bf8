/** `llmpipe rank`: one process of a run. @module */
import { runRank } from "../comm/rank_run.ts";
import { trainRank } from "../train/rank.ts";
import { readFlags } from "./flags.ts";

/** Runs `llmpipe rank PLAN.json`, started by `llmpipe train`. Returns the exit status. */
export async function rank(args: string[]): Promise<number> {
  const { _: [path] } = readFlags(args, {}, ["PLAN.json"]);
  const plan = JSON.parse(Deno.readTextFileSync(path));
  return await runRank((run) => trainRank(run, plan));
}
