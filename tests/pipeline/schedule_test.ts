import { assertEquals } from "@std/assert";
import {
  type Action,
  gpipe,
  type Grid,
  type Instruction,
  oneFOneB,
  pipelinePrograms,
  stageProgram,
} from "../../src/pipeline/schedule.ts";

const LETTER = { forward: "F", backward: "B", weightGrad: "W" };
const write = (actions: Iterable<Action>) =>
  [...actions].map((a) => `${LETTER[a.kind]}${a.micro}`).join(" ");
const words = (i: Instruction) => "micro" in i ? `${i.op} ${i.micro}/${i.slot}` : i.op;

Deno.test("oneFOneB() fills, alternates and drains", () => {
  const rows = (P: number, M: number) =>
    Array.from({ length: P }, (_, p) => write(oneFOneB({ P, p, M })));
  assertEquals(rows(3, 4), [
    "F0 F1 F2 B0 F3 B1 B2 B3",
    "F0 F1 B0 F2 B1 F3 B2 B3",
    "F0 B0 F1 B1 F2 B2 F3 B3",
  ]);
  assertEquals(rows(3, 1), ["F0 B0", "F0 B0", "F0 B0"]);
  assertEquals(rows(1, 2), ["F0 B0 F1 B1"]);
});

Deno.test("gpipe() does all forward passes first", () => {
  assertEquals(write(gpipe({ P: 3, p: 1, M: 3 })), "F0 F1 F2 B0 B1 B2");
});

Deno.test("stageProgram() adds loads, transfers, slots and the end of the step", () => {
  const { instructions, slots } = stageProgram("1f1b", { P: 3, p: 1, M: 3 });
  assertEquals(slots, 2);
  assertEquals(instructions.map(words), [
    "load 0/0",
    "recvForward 0/0",
    "forward 0/0",
    "sendForward 0/0",
    "load 1/1",
    "recvForward 1/1",
    "forward 1/1",
    "sendForward 1/1",
    "recvBackward 0/0",
    "backward 0/0",
    "sendBackward 0/0",
    "load 2/0",
    "recvForward 2/0",
    "forward 2/0",
    "sendForward 2/0",
    "recvBackward 1/1",
    "backward 1/1",
    "sendBackward 1/1",
    "recvBackward 2/0",
    "backward 2/0",
    "sendBackward 2/0",
    "reduceGrads",
    "step",
  ]);
});

Deno.test("stageProgram() of one stage sends and receives nothing", () => {
  assertEquals(stageProgram("1f1b", { P: 1, p: 0, M: 1 }).instructions.map(words), [
    "load 0/0",
    "forward 0/0",
    "backward 0/0",
    "reduceGrads",
    "step",
  ]);
});

Deno.test("stageProgram() needs min(P - p, M) slots for 1f1b and M for gpipe", () => {
  const slots = (name: "1f1b" | "gpipe", grid: Grid) => stageProgram(name, grid).slots;
  for (let P = 1; P <= 5; P++) {
    for (let p = 0; p < P; p++) {
      for (let M = 1; M <= 7; M++) {
        assertEquals(slots("1f1b", { P, p, M }), Math.min(P - p, M));
        assertEquals(slots("gpipe", { P, p, M }), M);
      }
    }
  }
});

Deno.test("pipelinePrograms() has one program per stage", () => {
  assertEquals(pipelinePrograms("gpipe", 4, 2).length, 4);
});
