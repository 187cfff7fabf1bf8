import { assertEquals, assertThrows } from "@std/assert";
import {
  type Instruction,
  instructionsOf,
  pipelinePrograms,
  type StageProgram,
} from "../../src/pipeline/schedule.ts";
import {
  drawFaults,
  drawSchedule,
  findFaults,
  validateSchedule,
} from "../../src/pipeline/validate.ts";

Deno.test("gpipe and 1f1b have no fault up to 8 stages and 16 micro-batches", () => {
  for (let P = 1; P <= 8; P++) {
    for (let M = 1; M <= 16; M++) {
      validateSchedule(pipelinePrograms("gpipe", P, M), M, { peakInFlight: () => M });
      validateSchedule(pipelinePrograms("1f1b", P, M), M, {
        peakInFlight: (p) => Math.min(P - p, M),
      });
    }
  }
});

Deno.test("drawSchedule() draws 1f1b and gpipe of 3 stages and 4 micro-batches", () => {
  assertEquals(
    drawSchedule(pipelinePrograms("1f1b", 3, 4)),
    `\
stage 0 F0 F1 F2 .  .  .  .  B0 -  F3 B1 -  .  B2 -  .  B3 -
stage 1 .  F0 F1 .  .  B0 -  F2 B1 -  F3 B2 -  .  B3 -
stage 2 .  .  F0 B0 -  F1 B1 -  F2 B2 -  F3 B3 -
`,
  );
  assertEquals(
    drawSchedule(pipelinePrograms("gpipe", 3, 4)),
    `\
stage 0 F0 F1 F2 F3 .  .  .  .  .  .  B0 -  B1 -  B2 -  B3 -
stage 1 .  F0 F1 F2 F3 .  .  .  B0 -  B1 -  B2 -  B3 -
stage 2 .  .  F0 F1 F2 F3 B0 -  B1 -  B2 -  B3 -
`,
  );
});

/** 1f1b of 2 stages and 3 micro-batches, with one stage changed. */
function broken(stage: number, change: (i: Instruction[]) => void): StageProgram[] {
  return pipelinePrograms("1f1b", 2, 3).map((program, p) => {
    if (p !== stage) return program;
    const instructions = [...program.instructions];
    change(instructions);
    return { ...program, instructions };
  });
}

function find(instructions: readonly Instruction[], op: Instruction["op"], micro?: number): number {
  return instructions.findIndex((i) =>
    i.op === op && (micro === undefined || "micro" in i && i.micro === micro)
  );
}

function move(list: Instruction[], from: number, to: number): void {
  list.splice(to, 0, ...list.splice(from, 1));
}

interface Case {
  name: string;
  stage: number;
  change: (i: Instruction[]) => void;
  faults: string[];
}

const cases: Case[] = [
  {
    name: "a pass twice",
    stage: 0,
    change: (i) => i.splice(find(i, "backward", 0) + 1, 0, i[find(i, "backward", 0)]!),
    faults: ["backward of micro-batch 0 a second time"],
  },
  {
    name: "a pass that is absent",
    stage: 1,
    change: (i) => i.splice(find(i, "backward", 2), 1),
    faults: [
      "sendBackward of micro-batch 2 before its backward",
      "backward of micro-batch 2 is absent",
    ],
  },
  {
    name: "backward before forward",
    stage: 1,
    change: (i) => move(i, find(i, "backward", 1), find(i, "forward", 1)),
    faults: ["backward of micro-batch 1 before its forward"],
  },
  {
    name: "a send before its pass",
    stage: 0,
    change: (i) => move(i, find(i, "sendForward", 2), find(i, "forward", 2)),
    faults: ["sendForward of micro-batch 2 before its forward"],
  },
  {
    name: "a micro-batch too many",
    stage: 0,
    change: (i) => i.unshift({ op: "load", micro: 3, slot: 0 }),
    faults: ["load of micro-batch 3: there are only 3 micro-batches"],
  },
  {
    name: "a neighbour that does not exist",
    stage: 0,
    change: (i) => i.splice(1, 0, { op: "recvForward", micro: 0, slot: 0 }),
    faults: ["recvForward of micro-batch 0: this stage has no such neighbour"],
  },
  {
    name: "a slot in use",
    stage: 0,
    change: (i) =>
      i.forEach((x, n) => {
        if ("micro" in x && x.micro === 1) i[n] = { ...x, slot: 0 };
      }),
    faults: [
      "load of micro-batch 1: slot 0 still holds micro-batch 0",
      "load of micro-batch 2: slot 0 still holds micro-batch 1",
    ],
  },
  {
    name: "a slot other than its own",
    stage: 0,
    change: (i) => {
      i[find(i, "backward", 0)] = { op: "backward", micro: 0, slot: 1 };
    },
    faults: ["backward of micro-batch 0 in slot 1, it was loaded into 0"],
  },
  {
    name: "an end without step",
    stage: 1,
    change: (i) => i.pop(),
    faults: ["the step must end with reduceGrads and step"],
  },
  {
    name: "messages in another order than they are received",
    stage: 0,
    change: (i) => move(i, find(i, "sendForward", 0), find(i, "sendForward", 1) + 1),
    faults: [
      "deadlock with buffered sends: recvBackward of micro-batch 0 waits for the gradient of " +
      "micro-batch 0 from stage 1",
      "deadlock with buffered sends: recvForward of micro-batch 0 waits for activations of " +
      "micro-batch 0 from stage 0, which sends micro-batch 1 next",
    ],
  },
];

for (const { name, stage, change, faults } of cases) {
  Deno.test(`findFaults() finds ${name}`, () => {
    assertEquals(findFaults(broken(stage, change), 3).map((f) => f.text), faults);
  });
}

Deno.test("findFaults() finds stages whose orders do not fit together", () => {
  const first = instructionsOf(
    [
      { kind: "forward", micro: 0 },
      { kind: "backward", micro: 0 },
      { kind: "forward", micro: 1 },
      { kind: "backward", micro: 1 },
    ],
    { P: 2, p: 0, M: 2 },
  );
  const last = instructionsOf(
    [
      { kind: "forward", micro: 0 },
      { kind: "forward", micro: 1 },
      { kind: "backward", micro: 0 },
      { kind: "backward", micro: 1 },
    ],
    { P: 2, p: 1, M: 2 },
  );
  assertEquals(findFaults([first, last], 2).map((f) => f.text), [
    "deadlock with buffered sends: recvBackward of micro-batch 0 waits for the gradient of " +
    "micro-batch 0 from stage 1",
    "deadlock with buffered sends: recvForward of micro-batch 1 waits for activations of " +
    "micro-batch 1 from stage 0",
  ]);
});

Deno.test("findFaults() counts what is in flight", () => {
  const programs = pipelinePrograms("gpipe", 2, 3);
  assertEquals(
    findFaults(programs, 3, { peakInFlight: (p) => 2 - p }).map((f) => `${f.stage}: ${f.text}`),
    [
      "0: 3 micro-batches in flight, at most 2",
      "1: 2 micro-batches in flight, at most 1",
      "1: 3 micro-batches in flight, at most 1",
    ],
  );
});

Deno.test("drawFaults() points at a deadlock where each stage stopped", () => {
  const programs = broken(0, (i) => i.splice(find(i, "sendForward", 1), 1));
  const late = broken(0, (i) => move(i, find(i, "sendForward", 1), find(i, "reduceGrads") - 1));
  assertEquals(findFaults(programs, 3).map((f) => f.text), [
    "sendForward of micro-batch 1 is absent",
  ]);
  assertEquals(
    drawFaults(late, findFaults(late, 3)),
    `\
stage 0 F0 F1 .  .  B0 -  F2
                             ^ deadlock with buffered sends: recvBackward of micro-batch 1 waits \
for the gradient of micro-batch 1 from stage 1
stage 1 .  F0 B0 -
                    ^ deadlock with buffered sends: recvForward of micro-batch 1 waits for \
activations of micro-batch 1 from stage 0, which sends micro-batch 2 next
`,
  );
});

Deno.test("validateSchedule() throws with a grid that points at the fault", () => {
  const programs = broken(1, (i) => move(i, find(i, "backward", 1), find(i, "forward", 1)));
  const error = assertThrows(() => validateSchedule(programs, 3), RangeError);
  assertEquals(
    error.message,
    `\
Cannot run a schedule with 1 fault:
stage 0 F0 F1 B0 -  F2 B1 -  B2 -
stage 1 F0 B0 -  B1 -  F1 F2 B2 -
                 ^ backward of micro-batch 1 before its forward
`,
  );
});
