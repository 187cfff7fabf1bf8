/** The NCCL communicator of the CUDA backend, between processes, on the emulation. @module */
import { assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { runRanks } from "../../src/launch/supervisor.ts";
import { isAvailable } from "../ops/check_op.ts";

const RANK = new URL("../comm/rank_program.ts", import.meta.url).pathname;
const ignore = !isAvailable("cudaemu");

async function play(scenario: string, worldSize: number, env: Record<string, string> = {}) {
  const text: string[] = [];
  const begin = performance.now();
  const status = await runRanks({
    worldSize,
    command: () => [Deno.execPath(), "run", "--no-check", "-A", RANK, scenario, "cudaemu"],
    env: () => ({ NO_COLOR: "1", ...env }),
    print: (line) => text.push(line),
  });
  return { status, text: text.join("\n"), seconds: (performance.now() - begin) / 1e3 };
}

const STREAMS = ["immediate", "deferred"];

for (const streams of STREAMS) {
  const env: Record<string, string> = { LLMPIPE_EMU_STREAMS: streams };
  for (const worldSize of [1, 2, 3]) {
    Deno.test({
      name:
        `collectives of NCCL among ${worldSize}, ${streams} streams, give the sums of the ranks`,
      ignore,
      fn: async () => assertEquals((await play("collectives", worldSize, env)).text, ""),
    });
  }
  for (const worldSize of [2, 3]) {
    Deno.test({
      name: `ranks of ${worldSize}, ${streams} streams, may all send before they receive`,
      ignore,
      fn: async () => assertEquals((await play("transfers", worldSize, env)).text, ""),
    });
  }
  Deno.test({
    name: `what follows a send is computed before its receiver comes, ${streams} streams`,
    ignore,
    fn: async () => assertEquals((await play("overlap", 2, env)).text, ""),
  });
  Deno.test({
    name: `groups of NCCL along the axes of a grid talk at the same time, ${streams} streams`,
    ignore,
    fn: async () => assertEquals((await play("groups", 4, env)).text, ""),
  });
}

Deno.test({
  name: "a killed rank ends the waits for it on the device",
  ignore,
  fn: async () => {
    const { status, text, seconds } = await play("kill-mid", 3);
    assertEquals(status, 1);
    assertLess(seconds, 15);
    assertMatch(text.split("\n").at(-1)!, /Rank 1 failed: it was killed by SIGKILL/);
  },
});

Deno.test({
  name: "a rank that hangs ends the wait for it on the device after the time-out",
  ignore,
  fn: async () => {
    const { status, text } = await play("hang", 2);
    assertEquals(status, 1);
    assertStringIncludes(
      text,
      'Group "world" of ranks [0, 1]: synchronize: no answer in 1500 ms: rank 0 receives 1000 bytes ' +
        "with tag 5 from rank 1",
    );
  },
});

Deno.test({
  name: "a message of another size is found by the emulation",
  ignore,
  fn: async () => {
    const { status, text } = await play("sizes", 2);
    assertEquals(status, 1);
    assertMatch(text, /rank 1 receives 1000 bytes from rank 0, which sends 4000/);
  },
});

Deno.test({
  name: "a failed call of NCCL names the call and ends the run",
  ignore,
  fn: async () => {
    const { status, text } = await play("collectives", 2, {
      LLMPIPE_EMU_FAIL: "ncclAllReduce:3@1",
    });
    assertEquals(status, 1);
    assertMatch(text, /Rank 1 .*all_reduce: ncclAllReduce: internal error/);
  },
});
