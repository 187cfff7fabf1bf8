import { assertAlmostEquals, assertEquals } from "@std/assert";
import { pipelinePrograms } from "../../src/pipeline/schedule.ts";
import { simulate } from "../../src/pipeline/simulate.ts";

const even = { forward: () => 1, backward: () => 2 };

Deno.test("simulate() finds the bubble (P - 1) / (M + P - 1) of even stages", () => {
  for (const name of ["1f1b", "gpipe"] as const) {
    for (const [P, M] of [[1, 3], [2, 8], [4, 8], [8, 64], [4, 2]] as const) {
      const { bubble, passTime, stuck } = simulate(pipelinePrograms(name, P, M), even);
      assertEquals(stuck, []);
      assertEquals(passTime, 3 * (M + P - 1), `${name} ${P} ${M}`);
      assertAlmostEquals(bubble, (P - 1) / (M + P - 1), 1e-12);
    }
  }
});

Deno.test("simulate() counts micro-batches in flight", () => {
  assertEquals(simulate(pipelinePrograms("1f1b", 4, 8), even).peakInFlight, [4, 3, 2, 1]);
  assertEquals(simulate(pipelinePrograms("gpipe", 4, 8), even).peakInFlight, [8, 8, 8, 8]);
  assertEquals(simulate(pipelinePrograms("1f1b", 4, 2), even).peakInFlight, [2, 2, 2, 1]);
});

Deno.test("simulate() runs at the pace of the slowest stage", () => {
  const slow = {
    forward: (p: number) => p === 1 ? 2 : 1,
    backward: (p: number) => p === 1 ? 4 : 2,
  };
  const M = 100;
  const { passTime } = simulate(pipelinePrograms("1f1b", 3, M), slow);
  // Before its passes, stage 1 waits 1 for stage 0 and 1 for stage 2; stage 0 ends 2 after it.
  assertEquals(passTime, 6 * M + 4);
});

Deno.test("simulate() adds transfers, the reduction and the step", () => {
  const programs = pipelinePrograms("gpipe", 2, 1);
  const costs = {
    ...even,
    transfer: () => 10,
    reduceGrads: () => 100,
    step: (p: number) => 1000 * p,
  };
  const { passes, passTime, time } = simulate(programs, costs);
  // F on stage 0, transfer, F and B on stage 1, transfer, B on stage 0.
  assertEquals(passTime, 1 + 10 + 3 + 10 + 2);
  assertEquals(passes[1], [
    { op: "forward", micro: 0, begin: 11, end: 12 },
    { op: "backward", micro: 0, begin: 12, end: 14 },
  ]);
  // Stage 1 reduces when its gradient has arrived, at 24.
  assertEquals(time, 24 + 100 + 1000);
});

Deno.test("simulate() is no slower with buffered sends than with rendezvous", () => {
  const costs = { ...even, transfer: () => 1 };
  for (const [P, M] of [[2, 4], [4, 8], [3, 7]] as const) {
    const programs = pipelinePrograms("1f1b", P, M);
    const buffered = simulate(programs, costs, "buffered").time;
    assertEquals(buffered <= simulate(programs, costs, "rendezvous").time, true);
  }
});

Deno.test("simulate() finds neighbours that both wait for their sends to be received", () => {
  const at = { micro: 0, slot: 0 };
  const send = (op: "sendForward" | "sendBackward", receive: "recvForward" | "recvBackward") => ({
    slots: 1,
    instructions: [
      { op: "load" as const, ...at },
      { op, ...at },
      { op: "load" as const, ...at },
      { op: receive, ...at },
    ],
  });
  const programs = [send("sendForward", "recvBackward"), send("sendBackward", "recvForward")];
  assertEquals(simulate(programs, even, "buffered").stuck, []);
  assertEquals(simulate(programs, even, "rendezvous").stuck, [
    { stage: 0, index: 2, waitsFor: "stage 1 to receive micro-batch 0" },
    { stage: 1, index: 2, waitsFor: "stage 0 to receive micro-batch 0" },
  ]);
});

Deno.test("simulate() predicts hundreds of stages", () => {
  const { bubble } = simulate(pipelinePrograms("1f1b", 128, 512), even);
  assertAlmostEquals(bubble, 127 / 639, 1e-12);
});
