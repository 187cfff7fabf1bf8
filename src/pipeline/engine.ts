/** Executes the instructions of one stage. It decides nothing: a schedule is data. @module */
import type { Transfer } from "../comm/communicator.ts";
import { causalSpans, uploadBatch } from "../models/batch.ts";
import { LoadBalance } from "../models/load_balance.ts";
import { Arena, Pool, type Region } from "../tensor/arena.ts";
import type { Device } from "../tensor/device.ts";
import { placeFailure } from "../tensor/native_failure.ts";
import type { ParameterStore } from "../tensor/parameter.ts";
import { Tape } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Instruction } from "./schedule.ts";
import {
  type MicroBatchInput,
  type MicroBatchRun,
  StageLayers,
  type StageSpec,
} from "./stage_layers.ts";

/** What a stage needs from around it. */
export interface StageIo {
  /** The micro-batch `micro` of the step under way. */
  load(micro: number): MicroBatchInput;
  /** Starts sending to a neighbour. */
  send(tensor: Tensor, to: "previous" | "next", micro: number): Transfer;
  /** Fills the tensor with what a neighbour sends. */
  receive(tensor: Tensor, from: "previous" | "next", micro: number): void;
  /** All backward passes of the step are done. */
  reduceGrads(): void;
  /** Gradients are final: update the weights. */
  step(): void;
}

/** Planned memory of a stage in bytes. */
export interface StageMemory {
  /** Weights. */
  weights: number;
  /** Gradients, f32. */
  gradients: number;
  /** All activation arenas. */
  activations: number;
  /** What a checkpointed block computes again: one for all micro-batches, as one runs at a time. */
  recomputed: number;
  /** Gradients of activations, logits chunk and other temporaries. */
  workspace: number;
}

interface Slot extends MicroBatchRun {
  received?: Tensor | undefined;
  output?: Tensor | undefined;
  transfers: { transfer: Transfer; block?: Tensor }[];
}

/** One stage of a pipeline on one device. */
export class Stage {
  /** What it computes. */
  readonly layers: StageLayers;
  readonly #device: Device;
  readonly #arenas: Arena[];
  readonly #recomputed: Arena | undefined;
  readonly #pool: Pool;
  readonly #slots = new Map<number, Slot>();

  /**
   * Allocates a stage.
   *
   * @param memory Sizes that a run on a device that counts found; undefined there
   */
  constructor(device: Device, spec: StageSpec, memory?: StageMemory) {
    this.layers = new StageLayers(device, spec);
    this.#device = device;
    const region = (bytes: number | undefined): Region =>
      bytes === undefined ? device.unbounded() : device.region(bytes);
    this.#arenas = Array.from(
      { length: spec.slots },
      () => new Arena(region(memory && memory.activations / spec.slots)),
    );
    if (spec.checkpointing) this.#recomputed = new Arena(region(memory?.recomputed));
    this.#pool = new Pool(region(memory?.workspace));
  }

  /** Which layers of which model, and for what sizes. */
  get spec(): StageSpec {
    return this.layers.spec;
  }

  /** The parameters. */
  get store(): ParameterStore {
    return this.layers.store;
  }

  /**
   * Runs the instructions of one step.
   *
   * @throws {NativeError} Naming the instruction, its micro-batch and layer
   */
  run(instructions: Iterable<Instruction>, io: StageIo): void {
    for (const instruction of instructions) {
      try {
        this.#execute(instruction, io);
      } catch (error) {
        throw placeFailure(error, this.#placeOf(instruction));
      }
    }
  }

  /** Bytes in use at most, after a run. */
  memory(): StageMemory {
    const { weights, gradients } = this.store.bytes();
    const arena = Math.max(...this.#arenas.map((a) => a.peakBytes));
    return {
      weights,
      gradients,
      activations: arena * this.#arenas.length,
      recomputed: this.#recomputed?.peakBytes ?? 0,
      workspace: this.#pool.peakBytes,
    };
  }

  #execute(instruction: Instruction, io: StageIo): void {
    switch (instruction.op) {
      case "load":
        return this.#load(instruction.slot, instruction.micro, io);
      case "recvForward":
        return this.#receiveForward(this.#slot(instruction.slot), io);
      case "forward":
        return this.#forward(this.#slot(instruction.slot));
      case "sendForward":
        return this.#sendForward(this.#slot(instruction.slot), io);
      case "recvBackward":
        return this.#receiveBackward(this.#slot(instruction.slot), io);
      case "backward":
        return this.#slot(instruction.slot).tape.backward("now");
      case "weightGrad":
        return this.#slot(instruction.slot).tape.weightPass();
      case "sendBackward":
        return this.#sendBackward(this.#slot(instruction.slot), io);
      case "reduceGrads":
        for (const slot of this.#slots.values()) this.#finishTransfers(slot);
        return io.reduceGrads();
      case "step":
        return io.step();
    }
  }

  /** "backward of micro-batch 2, layer 3". */
  #placeOf(instruction: Instruction): string {
    if (!("micro" in instruction)) {
      const { from, to } = this.spec;
      return `${instruction.op} of layers ${from} to ${to - 1}`;
    }
    const { op, micro, slot } = instruction;
    const computes = op === "forward" || op === "backward" || op === "weightGrad";
    const layer = computes ? this.#slots.get(slot)?.tape.layer : undefined;
    return `${op} of micro-batch ${micro}` + (layer === undefined ? "" : `, layer ${layer}`);
  }

  #slot(index: number): Slot {
    const slot = this.#slots.get(index);
    if (!slot) throw new TypeError(`Cannot run an instruction on slot ${index} before its load`);
    return slot;
  }

  #load(index: number, micro: number, io: StageIo): void {
    const used = this.#slots.get(index);
    if (used) this.#finishTransfers(used);
    const arena = this.#arenas[index];
    arena.reset();
    const tape = new Tape(this.#device, arena, this.#pool, "train", this.#recomputed);
    const input = io.load(micro);
    const { model } = this.spec;
    const batch = uploadBatch(tape, input, causalSpans(input, model.spanRule));
    const balance = model.experts
      ? new LoadBalance(tape, model, input, this.layers.blocks, input.balanceScale ?? 0)
      : undefined;
    this.#slots.set(index, { tape, micro, input, batch, balance, transfers: [] });
  }

  #receiveForward(slot: Slot, io: StageIo): void {
    const { B, S, model, dtype } = this.spec;
    slot.received = slot.tape.empty([B * S, model.width], dtype);
    io.receive(slot.received, "previous", slot.micro);
    if (slot.balance) io.receive(slot.balance.sums, "previous", slot.micro);
  }

  #forward(slot: Slot): void {
    slot.output = this.layers.forward(slot, slot.received);
  }

  #sendForward(slot: Slot, io: StageIo): void {
    if (!slot.output) {
      throw new TypeError(`Cannot send micro-batch ${slot.micro} before its forward`);
    }
    slot.transfers.push({ transfer: io.send(slot.output, "next", slot.micro) });
    if (!slot.balance) return;
    slot.transfers.push({ transfer: io.send(slot.balance.sums, "next", slot.micro) });
  }

  #receiveBackward(slot: Slot, io: StageIo): void {
    if (!slot.output) {
      throw new TypeError(`Cannot end micro-batch ${slot.micro} before its forward`);
    }
    const dy = this.#pool.acquire(slot.output.shape, slot.output.dtype);
    io.receive(dy, "next", slot.micro);
    if (slot.balance) io.receive(slot.balance.totals, "next", slot.micro);
    slot.tape.passGradient(slot.output, dy);
    this.#pool.release(dy);
  }

  #sendBackward(slot: Slot, io: StageIo): void {
    const dx = slot.received && slot.tape.takeGradient(slot.received);
    if (!dx) {
      throw new TypeError(`Cannot send the gradient of micro-batch ${slot.micro}: none is there`);
    }
    slot.transfers.push({ transfer: io.send(dx, "previous", slot.micro), block: dx });
    if (!slot.balance) return;
    slot.transfers.push({ transfer: io.send(slot.balance.totals, "previous", slot.micro) });
  }

  /** Waits for what the slot still sends. Called at fixed points, so that the pool is predictable. */
  #finishTransfers(slot: Slot): void {
    for (const { transfer, block } of slot.transfers.splice(0)) {
      transfer.wait();
      if (block) this.#pool.release(block);
    }
  }
}
