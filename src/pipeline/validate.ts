/** Finds what is wrong with a schedule before anything runs it. @module */
import { drawGrid, type Fault } from "./draw.ts";
import type { Instruction, StageProgram } from "./schedule.ts";
import { type Costs, type Pass, type SendKind, simulate, type Simulation } from "./simulate.ts";

/** One thing that is wrong. */
export interface ScheduleFault {
  /** The stage. */
  readonly stage: number;
  /** Index of the instruction; the length of the program when something is absent. */
  readonly index: number;
  /** What is wrong there. */
  readonly text: string;
}

/** What a schedule must keep to. */
export interface ScheduleLimits {
  /** Most micro-batches in flight on a stage; default: its slots. */
  peakInFlight?(stage: number): number;
}

/**
 * Checks the programs of all stages: each pass exactly once, a micro-batch forward before backward
 * before weight gradients, loads and receives before what needs them, sends after, slots not shared
 * by two micro-batches in flight, no more in flight than allowed, messages received in the order
 * they were sent, and no deadlock, with buffered and with rendezvous sends.
 *
 * @param programs One per stage
 * @param M Micro-batches of a step
 * @param limits What else to keep to
 * @returns What is wrong, in the order of stages; empty for a good schedule
 */
export function findFaults(
  programs: readonly StageProgram[],
  M: number,
  limits: ScheduleLimits = {},
): ScheduleFault[] {
  const faults = programs.flatMap((program, stage) =>
    orderFaults(program, stage, programs.length, M, limits)
  );
  if (faults.length > 0) return faults;
  for (const sends of ["buffered", "rendezvous"] as const satisfies SendKind[]) {
    const { stuck } = simulate(programs, unitCosts, sends);
    if (stuck.length === 0) continue;
    return stuck.map(({ stage, index, waitsFor }) => ({
      stage,
      index,
      text: `deadlock with ${sends} sends: ${words(programs[stage]!.instructions[index]!)} ` +
        `waits for ${waitsFor}`,
    }));
  }
  return [];
}

/**
 * Checks the programs of all stages.
 *
 * @param programs One per stage
 * @param M Micro-batches of a step
 * @param limits What else to keep to
 * @throws {RangeError} If there is a fault; the message draws the grid with an arrow at each
 */
export function validateSchedule(
  programs: readonly StageProgram[],
  M: number,
  limits: ScheduleLimits = {},
): void {
  const faults = findFaults(programs, M, limits);
  if (faults.length === 0) return;
  throw new RangeError(
    `Cannot run a schedule with ${faults.length} fault${faults.length === 1 ? "" : "s"}:\n` +
      drawFaults(programs, faults),
  );
}

/**
 * Draws programs, with an arrow at each fault. Passes have one unit of time, backward passes two;
 * after a deadlock, rows end where stages stopped. Programs with other faults are drawn in order,
 * without waiting.
 *
 * @param programs One per stage
 * @param faults As found by {@linkcode findFaults}
 * @returns Lines
 */
export function drawFaults(
  programs: readonly StageProgram[],
  faults: readonly ScheduleFault[] = [],
): string {
  const deadlock = faults.length === 0 || faults.every((f) => f.text.startsWith("deadlock"));
  const sends = faults.some((f) => f.text.includes("buffered")) ? "buffered" : "rendezvous";
  const passes = deadlock ? simulate(programs, unitCosts, sends).passes : programs.map(inOrder);
  const arrows: Fault[] = faults.map(({ stage, index, text }) => {
    const before = programs[stage]!.instructions.slice(0, index).filter(isPass).length;
    const row = passes[stage]!;
    const time = row[before]?.begin ?? row[before - 1]?.end ?? 0;
    return { stage, text, time };
  });
  return drawGrid(passes, arrows);
}

/** Costs with which schedules are drawn: forward 1, backward 2, split weight gradients 1. */
export const unitCosts: Costs = {
  forward: () => 1,
  backward: () => 2,
  weightGrad: () => 1,
};

/**
 * Draws a schedule as it runs.
 *
 * @param programs One per stage
 * @param simulation Its outcome with integer costs; default: with {@linkcode unitCosts}
 * @returns Lines
 */
export function drawSchedule(
  programs: readonly StageProgram[],
  simulation: Simulation = simulate(programs, unitCosts),
): string {
  return drawGrid(simulation.passes);
}

type MicroInstruction = Extract<Instruction, { micro: number }>;

/** What each op needs to have been done for the same micro-batch. */
const NEEDS: Readonly<Record<MicroInstruction["op"], readonly MicroInstruction["op"][]>> = {
  load: [],
  recvForward: ["load"],
  forward: ["load", "recvForward"],
  sendForward: ["forward"],
  recvBackward: ["forward"],
  backward: ["forward", "recvBackward"],
  sendBackward: ["backward"],
  weightGrad: ["backward"],
};

function orderFaults(
  { instructions, slots }: StageProgram,
  stage: number,
  P: number,
  M: number,
  limits: ScheduleLimits,
): ScheduleFault[] {
  const faults: ScheduleFault[] = [];
  const fault = (index: number, text: string) => faults.push({ stage, index, text });
  const split = instructions.some((i) => i.op === "weightGrad");
  const expected = new Set<MicroInstruction["op"]>(["load", "forward", "backward"]);
  if (stage > 0) expected.add("recvForward").add("sendBackward");
  if (stage < P - 1) expected.add("sendForward").add("recvBackward");
  if (split) expected.add("weightGrad");
  const end = split ? "weightGrad" : "backward";
  const limit = limits.peakInFlight?.(stage) ?? slots;
  const done = Array.from({ length: M }, () => new Set<string>());
  const owner = new Map<number, number>();
  const slotOf = new Map<number, number>();
  let inFlight = 0;
  instructions.forEach((i, index) => {
    if (!("micro" in i)) return;
    const { op, micro, slot } = i;
    const mine = done[micro];
    if (!mine) return fault(index, `${words(i)}: there are only ${M} micro-batches`);
    if (!expected.has(op)) return fault(index, `${words(i)}: this stage has no such neighbour`);
    if (mine.has(op)) return fault(index, `${words(i)} a second time`);
    for (const need of NEEDS[op]) {
      if (expected.has(need) && !mine.has(need)) fault(index, `${words(i)} before its ${need}`);
    }
    mine.add(op);
    if (op === "load") {
      if (owner.has(slot)) {
        fault(index, `${words(i)}: slot ${slot} still holds micro-batch ${owner.get(slot)}`);
      }
      if (slot < 0 || slot >= slots) fault(index, `${words(i)}: there are only ${slots} slots`);
      owner.set(slot, micro);
      slotOf.set(micro, slot);
      if (++inFlight > limit) fault(index, `${inFlight} micro-batches in flight, at most ${limit}`);
    } else if (slotOf.get(micro) !== slot) {
      fault(index, `${words(i)} in slot ${slot}, it was loaded into ${slotOf.get(micro)}`);
    }
    if (op === end) {
      inFlight--;
      const held = slotOf.get(micro);
      if (held !== undefined && owner.get(held) === micro) owner.delete(held);
    }
  });
  done.forEach((mine, micro) => {
    for (const op of expected) {
      if (!mine.has(op)) fault(instructions.length, `${op} of micro-batch ${micro} is absent`);
    }
  });
  const tail = instructions.slice(-2).map((i) => i.op).join(" ");
  if (tail !== "reduceGrads step") {
    fault(instructions.length, "the step must end with reduceGrads and step");
  }
  return faults;
}

/** Passes of a program one after the other, for drawing what cannot be run. */
function inOrder({ instructions }: StageProgram, stage: number): Pass[] {
  let clock = 0;
  return instructions.filter(isPass).map(({ op, micro }) => {
    const begin = clock;
    clock += unitCosts[op]!(stage);
    return { op, micro, begin, end: clock };
  });
}

function isPass(i: Instruction): i is Extract<Instruction, { micro: number }> & Pick<Pass, "op"> {
  return i.op === "forward" || i.op === "backward" || i.op === "weightGrad";
}

function words(i: Instruction): string {
  return "micro" in i ? `${i.op} of micro-batch ${i.micro}` : i.op;
}
