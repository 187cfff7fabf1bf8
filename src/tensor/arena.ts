/** Planned memory: a bump arena for activations, a first-fit pool for gradients. @module */
import { offset } from "../../ffi/memory.ts";
import { BYTES_PER_ELEMENT, type DType } from "./dtype.ts";
import { Tensor } from "./tensor.ts";

/** Every block begins on a cache line, which is also the width of the widest vector register. */
const ALIGNMENT = 64;

/** Bytes rounded up to the alignment of blocks. */
export function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** Where blocks are cut from: `null` counts bytes without memory behind them (planning). */
export interface Region {
  /** First byte. */
  ptr: Deno.PointerValue;
  /** Size; Infinity while planning. */
  bytes: number;
}

/** A region for planning: addresses are null, sizes are only counted. */
export const UNBOUNDED: Region = { ptr: null, bytes: Infinity };

function bytesOf(shape: readonly number[], dtype: DType): number {
  return aligned(shape.reduce((a, b) => a * b, 1) * BYTES_PER_ELEMENT[dtype]);
}

/**
 * Bump allocator for what one micro-batch keeps from its forward to its backward. Blocks are freed
 * all at once, by `reset`.
 */
export class Arena {
  #region: Region;
  #top = 0;
  #peak = 0;

  /** Cuts blocks from `region`. */
  constructor(region: Region) {
    this.#region = region;
  }

  /** Most bytes that were ever in use: what the region must hold. */
  get peakBytes(): number {
    return this.#peak;
  }

  /** The next free byte, for `reset`. */
  mark(): number {
    return this.#top;
  }

  /** Frees everything allocated since `mark` (or ever). */
  reset(mark = 0): void {
    this.#top = mark;
  }

  /** A new block, contents undefined. @throws {RangeError} If the plan was too small */
  tensor(shape: readonly number[], dtype: DType): Tensor {
    const begin = this.#top;
    this.#top += bytesOf(shape, dtype);
    if (this.#top > this.#region.bytes) {
      throw new RangeError(
        `Cannot allocate [${shape}] ${dtype} as the activation arena holds ${this.#region.bytes} ` +
          `bytes: ${this.#top} are needed`,
      );
    }
    this.#peak = Math.max(this.#peak, this.#top);
    return new Tensor(offset(this.#region.ptr, begin), shape, dtype);
  }
}

/** A counted block of a pool. */
interface Block {
  begin: number;
  bytes: number;
  uses: number;
}

/**
 * First-fit pool for tensors of short life: activation gradients and temporaries. The sequence of
 * requests of a training step is fixed, so the peak seen while planning is the peak of every step.
 */
export class Pool {
  #region: Region;
  #free: { begin: number; end: number }[];
  #blocks = new Map<Tensor, Block>();
  #peak = 0;

  /** Cuts blocks from `region`. */
  constructor(region: Region) {
    this.#region = region;
    this.#free = [{ begin: 0, end: region.bytes }];
  }

  /** Most bytes that were ever in use, holes included: what the region must hold. */
  get peakBytes(): number {
    return this.#peak;
  }

  /** A new block with one use, contents undefined. @throws {RangeError} If the plan was too small */
  acquire(shape: readonly number[], dtype: DType): Tensor {
    const bytes = bytesOf(shape, dtype);
    const at = this.#free.findIndex((hole) => hole.end - hole.begin >= bytes);
    if (at < 0) {
      throw new RangeError(
        `Cannot allocate [${shape}] ${dtype} as the workspace holds ${this.#region.bytes} bytes`,
      );
    }
    const hole = this.#free[at];
    const block = { begin: hole.begin, bytes, uses: 1 };
    hole.begin += bytes;
    if (hole.begin === hole.end) this.#free.splice(at, 1);
    this.#peak = Math.max(this.#peak, block.begin + bytes);
    const tensor = new Tensor(offset(this.#region.ptr, block.begin), shape, dtype);
    this.#blocks.set(tensor, block);
    return tensor;
  }

  /** True when `tensor` is a block of this pool. */
  owns(tensor: Tensor): boolean {
    return this.#blocks.has(tensor);
  }

  /** Number of uses of a block. */
  uses(tensor: Tensor): number {
    return this.#block(tensor).uses;
  }

  /** Adds a use: the block lives until `release` was called once more. */
  retain(tensor: Tensor): Tensor {
    this.#block(tensor).uses++;
    return tensor;
  }

  /** Ends a use; the last one frees the block. */
  release(tensor: Tensor): void {
    const block = this.#block(tensor);
    if (--block.uses > 0) return;
    this.#blocks.delete(tensor);
    if (block.bytes === 0) return;
    const end = block.begin + block.bytes;
    let i = this.#free.findIndex((hole) => hole.begin >= end);
    if (i < 0) i = this.#free.length;
    this.#free.splice(i, 0, { begin: block.begin, end });
    if (this.#free[i + 1]?.begin === end) {
      this.#free[i].end = this.#free[i + 1].end;
      this.#free.splice(i + 1, 1);
    }
    if (i > 0 && this.#free[i - 1].end === block.begin) {
      this.#free[i - 1].end = this.#free[i].end;
      this.#free.splice(i, 1);
    }
  }

  #block(tensor: Tensor): Block {
    const block = this.#blocks.get(tensor);
    if (!block) throw new TypeError("Cannot use a tensor of another pool, or one already released");
    return block;
  }
}
