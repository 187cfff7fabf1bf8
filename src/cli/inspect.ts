/** `llmpipe inspect`. @module */
import { inspectTensors } from "../checkpoint/inspect.ts";
import { readFlags, toggle } from "./flags.ts";

/** Runs `llmpipe inspect ARGS`: a line of JSON per tensor. Returns the exit status. */
export function inspect(args: string[]): Promise<number> {
  const { _: [path], hash } = readFlags(args, { hash: toggle }, ["FILE|DIR"]);
  for (const line of inspectTensors(path, { hash })) console.log(JSON.stringify(line));
  return Promise.resolve(0);
}
