/** A dense tensor: a shape, a storage type and an address in device memory. @module */
import { offset } from "../../ffi/memory.ts";
import { BYTES_PER_ELEMENT, type DType, DTYPE_CODE } from "./dtype.ts";

/**
 * A dense row-major tensor. It does not own its memory: an arena, a pool or a parameter store does.
 * On the dry device (memory planning) the address is null.
 */
export class Tensor {
  /** Address of element 0 in device memory. */
  readonly ptr: Deno.PointerValue;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Storage type. */
  readonly dtype: DType;

  /** Names `shape` elements of `dtype` at `ptr`. */
  constructor(ptr: Deno.PointerValue, shape: readonly number[], dtype: DType) {
    this.ptr = ptr;
    this.shape = shape;
    this.dtype = dtype;
  }

  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((a, b) => a * b, 1);
  }

  /** Number of bytes. */
  get bytes(): number {
    return this.size * BYTES_PER_ELEMENT[this.dtype];
  }

  /** `lp_dtype` of the storage type. */
  get code(): number {
    return DTYPE_CODE[this.dtype];
  }

  /** The address `elements` after element 0. */
  at(elements: number): Deno.PointerValue {
    return offset(this.ptr, elements * BYTES_PER_ELEMENT[this.dtype]);
  }

  /** A tensor of `shape` over the same memory, beginning `elements` after element 0. */
  view(elements: number, shape: readonly number[]): Tensor {
    return new Tensor(this.at(elements), shape, this.dtype);
  }
}

/** Throws unless `tensor` has `shape`. @throws {TypeError} naming op, argument and both shapes */
export function expectShape(
  op: string,
  argument: string,
  tensor: Tensor,
  shape: readonly number[],
): void {
  if (tensor.shape.length === shape.length && tensor.shape.every((n, i) => n === shape[i])) return;
  throw new TypeError(
    `Cannot run ${op} as ${argument} must be [${shape.join(", ")}]: ` +
      `current shape is [${tensor.shape.join(", ")}]`,
  );
}
