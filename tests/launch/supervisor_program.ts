/** A supervisor for tests that need one in a process of its own. @module */
import { runRanks } from "../../src/launch/supervisor.ts";

const [plan, worldSize] = Deno.args;
const program = new URL("./rank_program.ts", import.meta.url).pathname;
Deno.exit(
  await runRanks({
    worldSize: Number(worldSize),
    command: () => [Deno.execPath(), "run", "--no-check", "--allow-all", program, plan],
    onMessage: (rank, message) => {
      if (message.type === "ready") console.log(`rank ${rank} is ready`);
    },
    graceMs: 1000,
  }),
);
