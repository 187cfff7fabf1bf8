/** Memory of the operands of a case, and what stands in it before the call. @module */
import type { Context } from "../../../ffi/context.ts";
import { BYTES_PER_ELEMENT, type DType, DTYPE_CODE, type FloatType } from "../dtype.ts";
import { type KernelCase, type Operand, type Pointers, sizeOf, typeOf } from "./kernel_case.ts";

/** Allocates the operands of a case; all is freed at the end of the scope. */
export class OperandMemory implements Disposable {
  /** Addresses by name. */
  readonly pointers: Pointers = {};
  readonly #context: Context;

  /** Allocates, and leaves the contents as they are. */
  constructor(context: Context, { operands }: KernelCase, storage: FloatType) {
    this.#context = context;
    try {
      for (const [name, operand] of Object.entries(operands)) {
        const bytes = sizeOf(operand) * BYTES_PER_ELEMENT[typeOf(operand, storage)];
        this.pointers[name] = context.alloc(bytes);
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Frees the memory. */
  [Symbol.dispose](): void {
    for (const pointer of Object.values(this.pointers)) this.#context.free(pointer);
  }
}

/**
 * Writes what stands in an operand before the call, in those that are overwritten too: numbers that
 * nothing may depend on.
 *
 * @param type Its type in memory there
 * @param seed Of normal numbers
 */
export function fillOperand(
  context: Context,
  pointer: Pointers[string],
  operand: Operand,
  type: DType,
  seed: number,
): void {
  const { value } = operand, n = sizeOf(operand), code = DTYPE_CODE[type];
  if (type === "i32") {
    const of = typeof value === "function" ? value : () => value ?? -1;
    context.upload(pointer, Int32Array.from({ length: n }, (_, i) => of(i)));
  } else if (type === "f64") {
    const of = typeof value === "function" ? value : () => value ?? -1;
    context.upload(pointer, Float64Array.from({ length: n }, (_, i) => of(i)));
  } else if (type === "u8") {
    context.upload(pointer, new Uint8Array(n).fill(255));
  } else if (typeof value === "function") {
    context.upload(pointer, Float32Array.from({ length: n }, (_, i) => value(i))); // f32 only
  } else if (value !== undefined) {
    context.fill(pointer, value, n, code);
  } else {
    context.randomNormal(pointer, n, BigInt(seed), 0n, 0, 1, code);
  }
}
