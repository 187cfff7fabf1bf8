/** A supervisor of ranks that wait, for tests that end it. @module */
import { runRanks } from "../../src/launch/supervisor.ts";

const RANK = new URL("./rank_program.ts", import.meta.url).pathname;
Deno.exit(
  await runRanks({
    worldSize: 2,
    command: () => [Deno.execPath(), "run", "--no-check", "--allow-all", RANK, ...Deno.args],
    onLine: (_, __, line) => console.log(line),
  }),
);
