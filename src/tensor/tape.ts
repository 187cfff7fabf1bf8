/** The tape: what a forward pass leaves behind so that a backward pass can follow. @module */
import type { Kernels } from "../../ffi/kernels.ts";
import type { Arena, Pool } from "./arena.ts";
import type { Device } from "./device.ts";
import type { DType } from "./dtype.ts";
import { Tensor } from "./tensor.ts";

/** Where an op writes the gradient of one of its inputs. */
export interface GradientTarget {
  /** [shape of the input], dtype of the input. */
  tensor: Tensor;
  /** 1: add to what is there; 0: overwrite, the contents are undefined. */
  accumulate: 0 | 1;
}

/** What a tape records. */
export type TapeMode =
  /** Everything a backward needs. */
  | "train"
  /** Nothing: only the forward runs. */
  | "inference";

interface Node {
  layer: number | undefined;
  output: Tensor;
  backward: (dy: Tensor) => void;
}

/** When the gradients of weights are computed in a backward pass. */
export type WeightGradients =
  /** Right after the gradient of the input. */
  | "now"
  /** By a later `weightPass`, which zero-bubble schedules place where the stage would wait. */
  | "later";

/**
 * Records the fused ops of one micro-batch in one stage, and replays them backward.
 *
 * Activations live in the arena until it is reset. Gradients of activations live in the pool, are
 * counted, and are freed as soon as the op that made the activation has used them.
 */
export class Tape {
  /** The device everything runs on. */
  readonly device: Device;
  /** Holds activations. */
  readonly arena: Arena;
  /** Holds gradients of activations and temporaries. */
  readonly pool: Pool;
  /** Whether a backward will follow. */
  readonly mode: TapeMode;
  /** The layer whose ops run, for messages; a backward pass sets it as it goes. */
  layer: number | undefined;
  #nodes: Node[] = [];
  #gradients = new Map<Tensor, Tensor>();
  #deferred: { layer: number | undefined; run: () => void; keeps: Tensor[] }[] = [];
  #weightGradients: WeightGradients = "now";
  readonly #segments: Arena;

  /**
   * An empty tape over the given memory.
   *
   * @param segments Holds what a checkpointed segment computes until it ends; tapes of which one runs
   * at a time may share it
   */
  constructor(device: Device, arena: Arena, pool: Pool, mode: TapeMode, segments: Arena = arena) {
    this.device = device;
    this.arena = arena;
    this.pool = pool;
    this.mode = mode;
    this.#segments = segments;
  }

  /** The native ops. */
  get kernels(): Kernels {
    return this.device.kernels;
  }

  /** A new activation of the shape and dtype of `x`, contents undefined. */
  like(x: Tensor): Tensor {
    return this.arena.tensor(x.shape, x.dtype);
  }

  /** A new activation, contents undefined. */
  empty(shape: readonly number[], dtype: DType): Tensor {
    return this.arena.tensor(shape, dtype);
  }

  /** Host values as a device tensor that lives as long as the activations. */
  constant(values: Int32Array | Float32Array, shape: readonly number[]): Tensor {
    const dtype = values instanceof Int32Array ? "i32" : "f32";
    const tensor = this.arena.tensor(shape, dtype);
    this.device.upload(tensor, values);
    return tensor;
  }

  /** Runs `use` with a temporary that is gone afterwards. */
  scratch<T>(shape: readonly number[], dtype: DType, use: (temporary: Tensor) => T): T {
    const temporary = this.pool.acquire(shape, dtype);
    try {
      return use(temporary);
    } finally {
      this.pool.release(temporary);
    }
  }

  /** Remembers how the gradient of `output` flows back. Returns `output`. */
  record(output: Tensor, backward: (dy: Tensor) => void): Tensor {
    if (this.mode === "train") this.#nodes.push({ layer: this.layer, output, backward });
    return output;
  }

  /** Where to write the gradient of `x`. */
  gradient(x: Tensor): GradientTarget {
    const held = this.#gradients.get(x);
    if (!held) {
      const tensor = this.pool.acquire(x.shape, x.dtype);
      this.#gradients.set(x, tensor);
      return { tensor, accumulate: 0 };
    }
    if (this.pool.uses(held) === 1) return { tensor: held, accumulate: 1 };
    // Someone else still reads this buffer: add to a copy of it.
    const own = this.pool.acquire(x.shape, x.dtype);
    this.device.copy(own, held);
    this.pool.release(held);
    this.#gradients.set(x, own);
    return { tensor: own, accumulate: 1 };
  }

  /**
   * Where an op that adds while it writes puts the gradient of `x`: it overwrites `tensor` with the
   * sum of `before`, the gradient by the other uses of `x`, and its own share. That saves the copy
   * which `gradient` makes of a buffer that others read.
   */
  gradientSum(x: Tensor): { tensor: Tensor; before: Tensor | undefined } {
    const before = this.#gradients.get(x);
    if (before && this.pool.uses(before) === 1) return { tensor: before, before };
    const tensor = this.pool.acquire(x.shape, x.dtype);
    this.#gradients.set(x, tensor);
    if (before) this.pool.release(before); // those who share it still hold it
    return { tensor, before };
  }

  /** The gradient of `x` is `dx`, a block of the pool, plus what is there already. */
  passGradient(x: Tensor, dx: Tensor): void {
    if (!this.#gradients.has(x)) {
      this.#gradients.set(x, this.pool.retain(dx));
      return;
    }
    const { tensor } = this.gradient(x);
    this.kernels.add(tensor.ptr, dx.ptr, tensor.ptr, dx.size, dx.code);
  }

  /** The gradient of `x` after a backward pass, which the caller must release; undefined if none. */
  takeGradient(x: Tensor): Tensor | undefined {
    const gradient = this.#gradients.get(x);
    this.#gradients.delete(x);
    return gradient;
  }

  /** Computes the gradient of a weight: now, or in `weightPass`; `keeps` stay alive until then. */
  weightGradient(keeps: readonly Tensor[], run: () => void): void {
    if (this.#weightGradients === "now") return run();
    const held = keeps.filter((tensor) => this.pool.owns(tensor));
    for (const tensor of held) this.pool.retain(tensor);
    this.#deferred.push({ layer: this.layer, run, keeps: held });
  }

  /**
   * Replays the tape from its end. Seeds are the gradients given with `passGradient` before.
   * Afterwards `takeGradient` yields the gradient of the tensors that no op of this tape made.
   */
  backward(weightGradients: WeightGradients = "now"): void {
    this.#weightGradients = weightGradients;
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
      const dy = this.takeGradient(node.output);
      if (!dy) continue; // nothing after this op depends on its output
      this.layer = node.layer;
      node.backward(dy);
      this.pool.release(dy);
    }
  }

  /** Computes the weight gradients that the backward pass left for later. */
  weightPass(): void {
    for (const { layer, run, keeps } of this.#deferred.splice(0)) {
      this.layer = layer;
      run();
      for (const tensor of keeps) this.pool.release(tensor);
    }
  }

  /**
   * Runs `segment` keeping only its input and output (activation checkpointing, arXiv:1604.06174):
   * the backward pass runs the segment's forward once more.
   */
  checkpoint(input: Tensor, segment: (tape: Tape, input: Tensor) => Tensor): Tensor {
    if (this.mode === "inference") return segment(this, input);
    const { device, pool } = this;
    const output = this.like(input);
    const arena = this.#segments;
    const mark = arena.mark();
    device.copy(output, segment(new Tape(device, arena, pool, "inference"), input));
    arena.reset(mark);
    return this.record(output, (dy) => {
      const again = arena.mark();
      const tape = new Tape(device, arena, pool, "train");
      tape.passGradient(segment(tape, input), dy);
      tape.backward("now"); // deferring would keep the activations that checkpointing saves
      const dx = tape.takeGradient(input);
      if (dx) {
        this.passGradient(input, dx);
        pool.release(dx);
      }
      arena.reset(again);
    });
  }
}
