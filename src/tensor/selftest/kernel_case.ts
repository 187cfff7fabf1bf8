/** One op at one size: what it reads and writes, and how it is called. @module */
import type { Kernels, Pointer } from "../../../ffi/kernels.ts";
import { BYTES_PER_ELEMENT, type DType, type FloatType } from "../dtype.ts";

/** Memory that an op reads or writes. */
export interface Operand {
  /** Sizes; their product is the number of elements. */
  shape: readonly number[];
  /** Type in memory; "storage" is the one under test. */
  type: DType | "storage";
  /** updated: read and written. kept: made by `prepare`, then read. */
  use: "read" | "written" | "updated" | "kept";
  /** Every element, or element i, before the call; normal numbers when left out. */
  value?: number | ((i: number) => number);
}

/** Addresses of the operands, by name. */
export type Pointers = Record<string, Pointer>;

/** One op at one size. */
export interface KernelCase {
  /** The op. */
  op: keyof Kernels;
  /** Its sizes, for a person. */
  sizes: string;
  /** Its memory, by the names that csrc/llmpipe.h gives. */
  operands: Record<string, Operand>;
  /** What must run before: the forward, when the op is a backward. */
  prepare?(kernels: Kernels, p: Pointers, dtype: number): void;
  /** Calls it; `dtype` is that of the storage. */
  run(kernels: Kernels, p: Pointers, dtype: number): void;
  /** Multiplications and additions; undefined when memory limits it. */
  flops?: number;
  /** Storage types that make a difference; all when left out. */
  types?: readonly FloatType[];
  /** Factor of the error that rounding allows, where sums are long or cancel. */
  slack?: number;
  /** Magnitude of what cancels, where results may be near 0 altogether. */
  magnitude?: number;
}

/** Options of an operand that have a default. */
export type Extra = Partial<Pick<Operand, "type" | "value">>;

/** Memory that is read. */
export function read(shape: readonly number[], extra: Extra = {}): Operand {
  return { type: "storage", ...extra, shape, use: "read" };
}

/** Memory that is overwritten. */
export function written(shape: readonly number[], extra: Extra = {}): Operand {
  return { type: "storage", ...extra, shape, use: "written" };
}

/** Memory that is changed in place; f32 as gradients are, unless told otherwise. */
export function updated(shape: readonly number[], extra: Extra = {}): Operand {
  return { type: "f32", ...extra, shape, use: "updated" };
}

/** What `prepare` leaves for the op. */
export function kept(shape: readonly number[], extra: Extra = {}): Operand {
  return { type: "storage", ...extra, shape, use: "kept" };
}

/** The operand's type in memory. */
export function typeOf(operand: Operand, storage: FloatType): DType {
  return operand.type === "storage" ? storage : operand.type;
}

/** The number of elements of an operand. */
export function sizeOf({ shape }: Operand): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes that a case moves at least: each operand once, twice where it is read and written. */
export function bytesMoved({ operands }: KernelCase, storage: FloatType): number {
  return Object.values(operands).reduce((sum, operand) => {
    const bytes = sizeOf(operand) * BYTES_PER_ELEMENT[typeOf(operand, storage)];
    return sum + bytes * (operand.use === "updated" ? 2 : 1);
  }, 0);
}
