/**
 * Executes the programs of all stages with given costs instead of arithmetic: predicts time, bubble
 * and memory, and finds deadlocks.
 *
 * Semantics, the same as the engine's: a send starts and does not block; what it sends must have
 * arrived before its slot is loaded again and before gradients are reduced; a receive blocks.
 * Messages of one direction between two neighbours arrive in the order in which they were sent.
 *
 * @module
 */
import type { Instruction, StageProgram } from "./schedule.ts";

/** What instructions cost, in any unit of time. Functions of the stage. */
export interface Costs {
  /** A forward pass of one micro-batch. */
  forward(stage: number): number;
  /** A backward pass, without the weight gradients where the schedule splits them off. */
  backward(stage: number): number;
  /** The split-off weight gradients; default 0. */
  weightGrad?(stage: number): number;
  /** A transfer between a stage and the next one; default 0. */
  transfer?(stage: number): number;
  /** The reduction of gradients over replicas; default 0. */
  reduceGrads?(stage: number): number;
  /** The optimizer step; default 0. */
  step?(stage: number): number;
}

/** A pass that was executed. */
export interface Pass {
  /** Which pass. */
  readonly op: "forward" | "backward" | "weightGrad";
  /** Micro-batch. */
  readonly micro: number;
  /** When it began. */
  readonly begin: number;
  /** When it ended. */
  readonly end: number;
}

/** A stage that cannot go on. */
export interface Stuck {
  /** The stage. */
  readonly stage: number;
  /** Index of the instruction it cannot execute. */
  readonly index: number;
  /** What it waits for, in words. */
  readonly waitsFor: string;
}

/** The outcome of one step. */
export interface Simulation {
  /** Passes of each stage, in order. */
  readonly passes: readonly (readonly Pass[])[];
  /** When the last stage ended its step. */
  readonly time: number;
  /** When the last pass ended. */
  readonly passTime: number;
  /** Part of the pass time in which stages do not compute, 0 to 1, over all stages. */
  readonly bubble: number;
  /** Most micro-batches in flight, by stage. */
  readonly peakInFlight: readonly number[];
  /** Empty when every stage came to its end. */
  readonly stuck: readonly Stuck[];
}

/** How sends behave: `buffered` ones always arrive, `rendezvous` ones when the receiver is there. */
export type SendKind = "buffered" | "rendezvous";

/**
 * Executes one step.
 *
 * @param programs One per stage
 * @param costs What instructions cost
 * @param sends How sends behave
 * @returns What happened
 */
export function simulate(
  programs: readonly StageProgram[],
  costs: Costs,
  sends: SendKind = "rendezvous",
): Simulation {
  const P = programs.length;
  const stages = programs.map((program, index) => new StageState(program.instructions, index));
  // Channel 2p carries activations from stage p to p + 1, channel 2p + 1 gradients back.
  const channels = Array.from({ length: 2 * P }, () => new Channel());
  const ready = stages.map((_, p) => p);
  const queued = new Set(ready);
  while (ready.length > 0) {
    const p = ready.pop()!;
    queued.delete(p);
    if (!advance(stages[p]!, channels, costs, sends)) continue;
    for (const q of [p - 1, p + 1]) {
      if (q < 0 || q >= P || queued.has(q)) continue;
      queued.add(q);
      ready.push(q);
    }
  }
  const passes = stages.map((s) => s.passes);
  const passTime = Math.max(0, ...passes.map((list) => list.at(-1)?.end ?? 0));
  let busy = 0;
  for (const list of passes) for (const { begin, end } of list) busy += end - begin;
  return {
    passes,
    time: Math.max(0, ...stages.map((s) => s.clock)),
    passTime,
    bubble: passTime > 0 ? 1 - busy / (passTime * P) : 0,
    peakInFlight: stages.map((s) => s.peakInFlight),
    stuck: stages.filter((s) => s.next < s.instructions.length).map((s) => ({
      stage: s.stage,
      index: s.next,
      waitsFor: s.waitsFor,
    })),
  };
}

/** One direction between two neighbours. Times are undefined until they are known. */
class Channel {
  readonly sent: { micro: number; at: number }[] = [];
  readonly posted: number[] = [];

  /** When message `i` has arrived; undefined while that cannot be known. */
  arrival(i: number, transfer: number, sends: SendKind): number | undefined {
    const message = this.sent[i];
    if (!message) return undefined;
    if (sends === "buffered") return message.at + transfer;
    const posted = this.posted[i];
    return posted === undefined ? undefined : Math.max(message.at, posted) + transfer;
  }
}

class StageState {
  readonly instructions: readonly Instruction[];
  readonly stage: number;
  readonly passes: Pass[] = [];
  /** Index of the instruction to execute. */
  next = 0;
  clock = 0;
  inFlight = 0;
  peakInFlight = 0;
  waitsFor = "";
  /** Sends that are not known to be over, by the slot they use. */
  readonly pending = new Map<number, { channel: number; message: number; transfer: number }[]>();
  readonly received = new Map<number, number>();
  readonly remaining = new Map<number, number>();

  constructor(instructions: readonly Instruction[], stage: number) {
    this.instructions = instructions;
    this.stage = stage;
    for (const i of instructions) {
      if (i.op === "forward" || i.op === "backward" || i.op === "weightGrad") {
        this.remaining.set(i.micro, (this.remaining.get(i.micro) ?? 0) + 1);
      }
    }
  }
}

/** Executes what a stage can execute now; false when that is nothing. */
function advance(s: StageState, channels: Channel[], costs: Costs, sends: SendKind): boolean {
  const p = s.stage;
  const transfer = (stage: number) => costs.transfer?.(stage) ?? 0;
  let moved = false;
  for (; s.next < s.instructions.length; s.next++, moved = true) {
    const i = s.instructions[s.next]!;
    switch (i.op) {
      case "load":
        if (!finishSends(s, channels, sends, [i.slot])) return moved;
        s.inFlight++;
        s.peakInFlight = Math.max(s.peakInFlight, s.inFlight);
        break;
      case "recvForward":
      case "recvBackward": {
        const forward = i.op === "recvForward";
        const index = forward ? 2 * (p - 1) : 2 * p + 1;
        const channel = channels[index];
        const message = s.received.get(index) ?? 0;
        const peer = forward ? p - 1 : p + 1;
        if (channel && channel.posted.length === message) {
          channel.posted.push(s.clock);
          moved = true;
        }
        const arrival = channel?.arrival(message, transfer(Math.min(p, peer)), sends);
        if (arrival === undefined || channel!.sent[message]!.micro !== i.micro) {
          const what = forward ? "activations" : "the gradient";
          const instead = channel?.sent[message];
          s.waitsFor = `${what} of micro-batch ${i.micro} from stage ${peer}` +
            (instead ? `, which sends micro-batch ${instead.micro} next` : "");
          return moved;
        }
        s.received.set(index, message + 1);
        s.clock = Math.max(s.clock, arrival);
        break;
      }
      case "sendForward":
      case "sendBackward": {
        const index = i.op === "sendForward" ? 2 * p : 2 * (p - 1) + 1;
        const channel = channels[index];
        if (!channel) {
          s.waitsFor = "a neighbour that does not exist";
          return moved;
        }
        const message = channel.sent.push({ micro: i.micro, at: s.clock }) - 1;
        const stage = i.op === "sendForward" ? p : p - 1;
        const send = { channel: index, message, transfer: transfer(stage) };
        const earlier = s.pending.get(i.slot);
        if (earlier) earlier.push(send);
        else s.pending.set(i.slot, [send]);
        break;
      }
      case "forward":
      case "backward":
      case "weightGrad": {
        const begin = s.clock;
        s.clock += costs[i.op]?.(p) ?? 0;
        s.passes.push({ op: i.op, micro: i.micro, begin, end: s.clock });
        const left = s.remaining.get(i.micro)! - 1;
        s.remaining.set(i.micro, left);
        if (left === 0) s.inFlight--;
        break;
      }
      case "reduceGrads":
        if (!finishSends(s, channels, sends, s.pending.keys())) return moved;
        s.clock += costs.reduceGrads?.(p) ?? 0;
        break;
      case "step":
        s.clock += costs.step?.(p) ?? 0;
        break;
    }
  }
  return moved;
}

/** Waits for the sends of some slots; false when one cannot end yet. */
function finishSends(
  s: StageState,
  channels: Channel[],
  sends: SendKind,
  slots: Iterable<number>,
): boolean {
  for (const slot of slots) {
    const pending = s.pending.get(slot) ?? [];
    while (pending.length > 0) {
      const { channel, message, transfer } = pending[0]!;
      const arrival = channels[channel]!.arrival(message, transfer, sends);
      if (arrival === undefined) {
        const to = channel % 2 === 0 ? s.stage + 1 : s.stage - 1;
        const { micro } = channels[channel]!.sent[message]!;
        s.waitsFor = `stage ${to} to receive micro-batch ${micro}`;
        return false;
      }
      s.clock = Math.max(s.clock, arrival);
      pending.shift();
    }
  }
  return true;
}
