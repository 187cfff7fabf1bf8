/** Addresses of native memory, and views on it. @module */

/**
 * The address `bytes` after `ptr`; null stays null (the dry device).
 *
 * @param bytes Any whole number, negative ones included
 */
export function offset(ptr: Deno.PointerValue, bytes: number): Deno.PointerValue {
  if (ptr === null || bytes === 0) return ptr;
  return Deno.UnsafePointer.offset(ptr, bytes);
}

/** An address with nothing behind it, for ops that only are measured: beyond what a process has. */
export const NOWHERE: Deno.PointerObject = Deno.UnsafePointer.create(1n << 62n)!;

/** The address as a number, to compare it with others; 0 for null. */
export function addressOf(ptr: Deno.PointerValue): bigint {
  return Deno.UnsafePointer.value(ptr);
}

/**
 * The bytes at `ptr` as an array, without a copy: reading from a file into it fills native memory.
 * Only for memory that the host can address, which is all memory of the CPU backend.
 *
 * The caller keeps the memory alive as long as the array is used.
 */
export function hostView(ptr: Deno.PointerObject, bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(ptr, bytes));
}
