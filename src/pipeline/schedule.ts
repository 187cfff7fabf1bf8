/**
 * What each stage computes in which order, as data.
 *
 * A schedule is a pure generator of actions for one stage; {@linkcode instructionsOf} adds loads,
 * transfers, activation slots and the end of the step.
 *
 * @module
 */

/** A pass of one micro-batch through the layers of a stage. */
export interface Action {
  /** `weightGrad` is the part of the backward pass that other stages do not wait for. */
  readonly kind: "forward" | "backward" | "weightGrad";
  /** Micro-batch, 0 to M - 1. */
  readonly micro: number;
}

/** Where a stage stands. */
export interface Grid {
  /** Number of stages. */
  readonly P: number;
  /** This stage, 0 to P - 1. */
  readonly p: number;
  /** Micro-batches of a step. */
  readonly M: number;
}

/** One instruction to a stage. `slot` is the activation arena of the micro-batch. */
export type Instruction =
  | {
    /** What to do. */
    readonly op:
      | "load"
      | "recvForward"
      | "forward"
      | "sendForward"
      | "recvBackward"
      | "backward"
      | "weightGrad"
      | "sendBackward";
    /** Micro-batch, 0 to M - 1. */
    readonly micro: number;
    /** Activation arena, from 0; free again after the last pass of its micro-batch. */
    readonly slot: number;
  }
  | {
    /** What to do at the end of the step. */
    readonly op: "reduceGrads" | "step";
  };

/** The name of a schedule, as in the configuration. */
export type ScheduleName = "gpipe" | "1f1b";

/** The schedules by name. */
export const schedules: Readonly<Record<ScheduleName, (grid: Grid) => Generator<Action>>> = {
  gpipe,
  "1f1b": oneFOneB,
};

/**
 * GPipe: all forward passes, then all backward passes. Holds M activations.
 *
 * @param grid The stage
 * @returns Its actions
 * @see arXiv:1811.06965
 */
export function* gpipe({ M }: Grid): Generator<Action> {
  for (let m = 0; m < M; m++) yield F(m);
  for (let m = 0; m < M; m++) yield B(m);
}

/**
 * 1F1B: fill, alternate, drain. Holds at most min(P - p, M) activations.
 *
 * @param grid The stage
 * @returns Its actions
 * @see arXiv:2104.04473
 */
export function* oneFOneB({ P, p, M }: Grid): Generator<Action> {
  const fill = Math.min(P - p - 1, M);
  for (let m = 0; m < fill; m++) yield F(m);
  for (let m = fill; m < M; m++) {
    yield F(m);
    yield B(m - fill);
  }
  for (let m = M - fill; m < M; m++) yield B(m);
}

/** What one stage executes in a step. */
export interface StageProgram {
  /** In order. */
  readonly instructions: readonly Instruction[];
  /** Activation arenas it needs: the most micro-batches in flight at once. */
  readonly slots: number;
}

/**
 * Turns the actions of a stage into instructions. Every stage loads every micro-batch, since masks
 * and positions are needed everywhere. A micro-batch gets the lowest free slot and frees it after
 * its last action. Sends are started, not waited for: what is sent must stay until the slot is
 * loaded again.
 *
 * @param actions Of this stage, each micro-batch forward before backward
 * @param grid The stage
 * @returns Its program
 */
export function instructionsOf(actions: Iterable<Action>, { P, p }: Grid): StageProgram {
  const order = [...actions];
  const last = new Map(order.map((action, i) => [action.micro, i]));
  const slotOf = new Map<number, number>();
  const free: number[] = [];
  let slots = 0;
  const instructions: Instruction[] = [];
  order.forEach(({ kind, micro }, i) => {
    if (!slotOf.has(micro)) slotOf.set(micro, free.shift() ?? slots++);
    const slot = slotOf.get(micro)!;
    const push = (op: Exclude<Instruction["op"], "reduceGrads" | "step">) =>
      instructions.push({ op, micro, slot });
    if (kind === "forward") {
      push("load");
      if (p > 0) push("recvForward");
      push("forward");
      if (p < P - 1) push("sendForward");
    } else if (kind === "backward") {
      if (p < P - 1) push("recvBackward");
      push("backward");
      if (p > 0) push("sendBackward");
    } else {
      push("weightGrad");
    }
    if (last.get(micro) === i) {
      slotOf.delete(micro);
      free.push(slot);
      free.sort((a, b) => a - b);
    }
  });
  instructions.push({ op: "reduceGrads" }, { op: "step" });
  return { instructions, slots };
}

/**
 * The program of one stage.
 *
 * @param name The schedule
 * @param grid The stage
 * @returns Its program
 */
export function stageProgram(name: ScheduleName, grid: Grid): StageProgram {
  return instructionsOf(schedules[name](grid), grid);
}

/**
 * The programs of all stages.
 *
 * @param name The schedule
 * @param P Stages
 * @param M Micro-batches of a step
 * @returns One program per stage
 */
export function pipelinePrograms(name: ScheduleName, P: number, M: number): StageProgram[] {
  return Array.from({ length: P }, (_, p) => stageProgram(name, { P, p, M }));
}

const F = (micro: number): Action => ({ kind: "forward", micro });
const B = (micro: number): Action => ({ kind: "backward", micro });
