/** Executes the instructions of one stage. It decides nothing: a schedule is data. @module */
import type { Transfer } from "../comm/communicator.ts";
import { causalSpans, type HostBatch, uploadBatch } from "../models/batch.ts";
import { LoadBalance } from "../models/load_balance.ts";
import {
  type DeviceBatch,
  type Forward,
  LayerWeights,
  type ModelDescription,
} from "../models/model.ts";
import { Arena, Pool, type Region } from "../tensor/arena.ts";
import type { Device } from "../tensor/device.ts";
import type { FloatType } from "../tensor/dtype.ts";
import type { Dropout } from "../tensor/ops/dropout.ts";
import { placeFailure } from "../tensor/native_failure.ts";
import { linearCrossEntropy } from "../tensor/ops/loss.ts";
import { ParameterStore } from "../tensor/parameter.ts";
import { streamSeed } from "../tensor/stream_seed.ts";
import { Tape } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Instruction } from "./schedule.ts";

/** What a stage computes on one micro-batch. */
export interface MicroBatchInput extends HostBatch {
  /** [B*S] next tokens, negative for no loss. */
  targets: Int32Array;
  /** Factor of each row's cross-entropy in the gradient. */
  ceScale: number;
  /** [B*S] factor of each row's z-loss in the gradient. */
  zScales?: Float32Array | undefined;
  /** [B*S] factor of each row's squared largest logit in the gradient. */
  topScales?: Float32Array | undefined;
  /** Factor of the micro-batch's load-balancing loss in the gradient; undefined for 0. */
  balanceScale?: number;
  /** [B] number of each sequence in the order of the run, on which depends what dropout drops. */
  places: readonly number[];
}

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

/** What makes up a stage. */
export interface StageSpec {
  /** The model. */
  model: ModelDescription;
  /** First layer of the stage. */
  from: number;
  /** One past the last layer. */
  to: number;
  /** Storage type of weights and activations. */
  dtype: FloatType;
  /** Sequences of a micro-batch. */
  B: number;
  /** Positions of a sequence. */
  S: number;
  /** Micro-batches of a step. */
  M: number;
  /** Activation arenas: most micro-batches in flight. */
  slots: number;
  /** Recompute the blocks in the backward instead of keeping their activations. */
  checkpointing: boolean;
  /** Of dropout. */
  seed: number;
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

interface Slot {
  arena: Arena;
  tape: Tape;
  micro: number;
  input: MicroBatchInput;
  batch: DeviceBatch;
  balance: LoadBalance | undefined;
  received?: Tensor | undefined;
  output?: Tensor | undefined;
  transfers: { transfer: Transfer; block?: Tensor }[];
}

/** One stage of a pipeline on one device. */
export class Stage {
  /** The layers and sizes of the stage. */
  readonly spec: StageSpec;
  /** Its parameters. */
  readonly store: ParameterStore;
  readonly #device: Device;
  readonly #forward: Forward;
  readonly #arenas: Arena[];
  readonly #recomputed: Arena | undefined;
  readonly #pool: Pool;
  readonly #losses: { ce: Tensor; z: Tensor; top: Tensor | undefined } | undefined;
  readonly #balance: Tensor | undefined;
  readonly #slots = new Map<number, Slot>();

  /**
   * Allocates a stage.
   *
   * @param memory Sizes that a run on a device that counts found; undefined there
   */
  constructor(device: Device, spec: StageSpec, memory?: StageMemory) {
    const { model, from, to, dtype, B, S, M, slots } = spec;
    this.spec = spec;
    this.#device = device;
    const layers = model.layers.slice(from, to).map((parameters, i) => ({
      layer: from + i,
      parameters,
    }));
    this.store = new ParameterStore(device, layers, { dtype, train: true });
    this.#forward = model.forward(device, S);
    const region = (bytes: number | undefined): Region =>
      bytes === undefined ? device.unbounded() : device.region(bytes);
    this.#arenas = Array.from(
      { length: slots },
      () => new Arena(region(memory && memory.activations / slots)),
    );
    if (spec.checkpointing) this.#recomputed = new Arena(region(memory?.recomputed));
    this.#pool = new Pool(region(memory?.workspace));
    this.#losses = this.isLast
      ? {
        ce: device.tensor([M, B * S], "f32"),
        z: device.tensor([M, B * S], "f32"),
        top: model.topWeight ? device.tensor([M, B * S], "f32") : undefined,
      }
      : undefined;
    const { experts } = model;
    this.#balance = this.isLast && experts ? device.tensor([M, 2, experts], "f32") : undefined;
  }

  /** True for the stage with the embedding. */
  get isFirst(): boolean {
    return this.spec.from === 0;
  }

  /** True for the stage with the head. */
  get isLast(): boolean {
    return this.spec.to === this.spec.model.layers.length;
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

  #execute(instruction: Instruction, io: StageIo): void {
    switch (instruction.op) {
      case "load":
        return this.#load(instruction.slot, instruction.micro, io);
      case "recvForward":
        return this.#receiveForward(this.#slot(instruction.slot), io);
      case "forward":
        return this.#runForward(this.#slot(instruction.slot));
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

  /** Losses of the last step per micro-batch and row, [M, B*S]; undefined but on the last stage. */
  losses(): { ce: Float32Array; z: Float32Array; top: Float32Array | undefined } | undefined {
    if (!this.#losses) return undefined;
    return {
      ce: this.#device.downloadF32(this.#losses.ce),
      z: this.#device.downloadF32(this.#losses.z),
      top: this.#losses.top && this.#device.downloadF32(this.#losses.top),
    };
  }

  /**
   * Load-balancing sums of the last step per micro-batch, [M, 2, E]; undefined but on the last stage
   * of a model with experts.
   */
  balanceSums(): Float32Array | undefined {
    return this.#balance && this.#device.downloadF32(this.#balance);
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
      ? new LoadBalance(tape, model, input, this.#blocks(), input.balanceScale ?? 0)
      : undefined;
    this.#slots.set(index, { arena, tape, micro, input, batch, balance, transfers: [] });
  }

  #receiveForward(slot: Slot, io: StageIo): void {
    const { B, S, model, dtype } = this.spec;
    slot.received = slot.tape.empty([B * S, model.width], dtype);
    io.receive(slot.received, "previous", slot.micro);
    if (slot.balance) io.receive(slot.balance.sums, "previous", slot.micro);
  }

  #runForward(slot: Slot): void {
    const { from, to, checkpointing } = this.spec;
    const { tape, batch, balance } = slot;
    const last = this.spec.model.layers.length - 1;
    const firstBlock = Math.max(1, from);
    const run = (layer: number) => ({
      tape,
      batch,
      weights: new LayerWeights(this.store, layer),
      balance: layer > 0 && layer < last ? balance?.block(layer - firstBlock) : undefined,
      dropout: (place: string, p: number) => this.#dropout(slot, `${layer}.${place}`, p),
    });
    let h = slot.received;
    for (let layer = from; layer < to; layer++) {
      tape.layer = layer;
      if (layer === 0) h = this.#forward.embed(run(0));
      else if (!h) throw new TypeError(`Cannot run layer ${layer} before its input was received`);
      else if (layer === last) this.#runHead(slot, h);
      else if (!checkpointing) h = this.#forward.block(run(layer), h);
      else {
        h = tape.checkpoint(
          h,
          (inner, input) => this.#forward.block({ ...run(layer), tape: inner }, input),
        );
      }
    }
    slot.output = h;
    balance?.addBlocks();
    if (balance && this.#balance) {
      balance.complete();
      const { size, shape } = balance.sums;
      this.#device.copy(this.#balance.view(slot.micro * size, shape), balance.sums);
    }
  }

  /** Number of blocks. */
  #blocks(): number {
    const { model, from, to } = this.spec;
    return Math.max(0, Math.min(to, model.layers.length - 1) - Math.max(1, from));
  }

  /** The same for a sequence wherever, and how often, it is computed. */
  #dropout({ input }: Slot, place: string, p: number): Dropout | undefined {
    if (p === 0) return undefined;
    const { seed } = this.spec;
    return { p, seeds: input.places.map((n) => streamSeed(seed, `dropout/${n}/${place}`)) };
  }

  #runHead({ tape, batch, input, micro }: Slot, h: Tensor): void {
    const layer = this.spec.model.layers.length - 1;
    const { x, w } = this.#forward.head(
      { tape, batch, weights: new LayerWeights(this.store, layer) },
      h,
    );
    const N = batch.B * batch.S;
    const rows = linearCrossEntropy(tape, x, w, {
      targets: tape.constant(input.targets, [N]),
      ceScale: input.ceScale,
      ...(input.zScales ? { zScales: tape.constant(input.zScales, [N]) } : {}),
      topScales: input.topScales && tape.constant(input.topScales, [N]),
    });
    if (!this.#losses) return;
    this.#device.copy(this.#losses.ce.view(micro * N, [N]), rows.ce);
    this.#device.copy(this.#losses.z.view(micro * N, [N]), rows.z);
    if (rows.top) this.#device.copy(this.#losses.top!.view(micro * N, [N]), rows.top);
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
