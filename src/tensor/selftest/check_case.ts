/** Compares an op of a device with the same op of the CPU backend in f32. @module */
import type { Context } from "../../../ffi/context.ts";
import type { Kernels } from "../../../ffi/kernels.ts";
import { BYTES_PER_ELEMENT, type DType, DTYPE_CODE, type FloatType } from "../dtype.ts";
import { type KernelCase, type Operand, sizeOf, typeOf } from "./kernel_case.ts";
import { fillOperand, OperandMemory } from "./operand_memory.ts";

/** Relative error that rounding to a type allows, for values that were computed in f32. */
const TOLERANCE: Record<DType, number> = {
  f32: 2e-5,
  bf16: 2 ** -7,
  f16: 2 ** -10,
  f64: 1e-6, // sums of f32 numbers
  i32: 0,
  u8: 0,
};

/** How near a case came to what it must be. */
export interface CheckResult {
  /** The largest error, as a share of the one that is allowed: above 1, or NaN, is wrong. */
  error: number;
  /** Where that is, for a person. */
  worst: string;
}

/** The two devices that are compared. */
export interface CheckedDevice {
  /** The device under test. */
  device: Context;
  /** Its ops, when they are watched or replaced. */
  kernels: Kernels;
  /** What it is compared with. */
  cpu: Context;
}

/**
 * Runs a case on both: the device in `storage`, the CPU in f32 on the same rounded inputs.
 *
 * An element x of a result may differ from w by tolerance * slack * (|w| + rms(w) + magnitude), with
 * the tolerance of the result's type.
 */
export function checkCase(
  { device, kernels, cpu }: CheckedDevice,
  kernelCase: KernelCase,
  storage: FloatType,
): CheckResult {
  using tested = new OperandMemory(device, kernelCase, storage);
  using wanted = new OperandMemory(cpu, kernelCase, "f32");
  let seed = 1;
  for (const [name, operand] of Object.entries(kernelCase.operands)) {
    const type = typeOf(operand, storage), wide = typeOf(operand, "f32");
    fillOperand(cpu, wanted.pointers[name], operand, wide, seed++);
    const bytes = new Uint8Array(sizeOf(operand) * BYTES_PER_ELEMENT[type]);
    if (type === wide) cpu.download(bytes, wanted.pointers[name]);
    else round(cpu, wanted.pointers[name], sizeOf(operand), type, bytes);
    device.upload(tested.pointers[name], bytes);
  }
  for (
    const [ops, p, code] of [
      [kernels, tested.pointers, DTYPE_CODE[storage]],
      [cpu, wanted.pointers, DTYPE_CODE.f32],
    ] as const
  ) {
    kernelCase.prepare?.(ops, p, code);
    kernelCase.run(ops, p, code);
  }
  device.synchronize();
  const result: CheckResult = { error: 0, worst: "" };
  for (const [name, operand] of Object.entries(kernelCase.operands)) {
    if (operand.use !== "written" && operand.use !== "updated") continue;
    const type = typeOf(operand, storage);
    const found = numbers(device, tested.pointers[name], operand, type);
    const want = numbers(cpu, wanted.pointers[name], operand, typeOf(operand, "f32"));
    const { slack = 1, magnitude = 0 } = kernelCase;
    compare(name, found, want, { tolerance: TOLERANCE[type] * slack, magnitude }, result);
  }
  return result;
}

/** Rounds f32 numbers of the CPU to a type and back; `bytes` gets them in that type. */
function round(
  cpu: Context,
  x: Deno.PointerValue,
  n: number,
  type: DType,
  bytes: Uint8Array<ArrayBuffer>,
): void {
  const narrow = cpu.alloc(bytes.length);
  cpu.cast(narrow, x, n, DTYPE_CODE[type], DTYPE_CODE.f32);
  cpu.cast(x, narrow, n, DTYPE_CODE.f32, DTYPE_CODE[type]);
  cpu.download(bytes, narrow);
  cpu.free(narrow);
}

function numbers(
  context: Context,
  pointer: Deno.PointerValue,
  operand: Operand,
  type: DType,
): ArrayLike<number> {
  const n = sizeOf(operand);
  if (type === "i32" || type === "f64" || type === "u8") {
    const values = new { i32: Int32Array, f64: Float64Array, u8: Uint8Array }[type](n);
    context.download(values, pointer);
    return values;
  }
  const values = new Float32Array(n);
  if (type === "f32") {
    context.download(values, pointer);
    return values;
  }
  const wide = context.alloc(4 * n);
  context.cast(wide, pointer, n, DTYPE_CODE.f32, DTYPE_CODE[type]);
  context.download(values, wide);
  context.free(wide);
  return values;
}

function compare(
  name: string,
  found: ArrayLike<number>,
  want: ArrayLike<number>,
  { tolerance, magnitude }: { tolerance: number; magnitude: number },
  result: CheckResult,
): void {
  let squares = 0;
  for (let i = 0; i < want.length; i++) squares += want[i] ** 2;
  const scale = magnitude + Math.sqrt(squares / Math.max(1, want.length));
  for (let i = 0; i < want.length; i++) {
    if (found[i] === want[i]) continue;
    const error = Math.abs(found[i] - want[i]) / (tolerance * (Math.abs(want[i]) + scale));
    if (error <= result.error || Number.isNaN(result.error)) continue;
    result.error = error; // NaN stays
    result.worst = `${name}[${i}] must be ${want[i]}, found ${found[i]}`;
  }
}
