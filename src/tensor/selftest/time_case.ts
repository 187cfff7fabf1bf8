/** How fast an op of a device is, and the most that the device can do. @module */
import type { Context } from "../../../ffi/context.ts";
import { DTYPE_CODE, type FloatType } from "../dtype.ts";
import { bytesMoved, type KernelCase, read, typeOf, written } from "./kernel_case.ts";
import { fillOperand, OperandMemory } from "./operand_memory.ts";

/** Time of one call and the speed that follows. */
export interface Speed {
  /** Of one call. */
  seconds: number;
  /** FLOP/s of products, bytes/s of the rest. */
  perSecond: number;
  /** What is counted. */
  unit: "FLOP/s" | "B/s";
}

/** The most that a device does in a type. */
export interface Peak {
  /** FLOP/s of the square product. */
  product: number;
  /** Bytes/s, read and written, of a copy. */
  copy: number;
}

/** How long to measure. */
export interface Patience {
  /** At least so many seconds per case ... */
  seconds: number;
  /** ... or so many calls. */
  mostCalls: number;
}

/**
 * Times a case: the mean of the calls between two events, after one that warms up. Inputs are
 * normal numbers, whatever type they have.
 */
export function timeCase(
  device: Context,
  kernelCase: KernelCase,
  storage: FloatType,
  { seconds, mostCalls }: Patience,
): Speed {
  using memory = new OperandMemory(device, kernelCase, storage);
  const { operands, flops } = kernelCase, code = DTYPE_CODE[storage];
  let seed = 1;
  for (const [name, operand] of Object.entries(operands)) {
    fillOperand(device, memory.pointers[name], operand, typeOf(operand, storage), seed++);
  }
  kernelCase.prepare?.(device, memory.pointers, code);
  const begin = device.createEvent(), end = device.createEvent();
  const measure = (calls: number): number => {
    device.recordEvent(begin);
    for (let i = 0; i < calls; i++) kernelCase.run(device, memory.pointers, code);
    device.recordEvent(end);
    const total = device.secondsBetween(begin, end);
    device.synchronize(); // a fault of a kernel shows here
    return total / calls;
  };
  try {
    const once = Math.max(measure(1), 1e-7);
    const mean = measure(Math.min(mostCalls, Math.max(1, Math.ceil(seconds / once))));
    return flops === undefined
      ? { seconds: mean, perSecond: bytesMoved(kernelCase, storage) / mean, unit: "B/s" }
      : { seconds: mean, perSecond: flops / mean, unit: "FLOP/s" };
  } finally {
    device.destroyEvent(begin);
    device.destroyEvent(end);
  }
}

/** Times a product of n x n matrices and a copy of as many f32 numbers as they have together. */
export function measurePeak(
  device: Context,
  n: number,
  storage: FloatType,
  patience: Patience,
): Peak {
  const matrix = read([n, n]);
  const product: KernelCase = {
    op: "gemm",
    sizes: `${n}^3`,
    operands: { a: matrix, b: matrix, c: written([n, n]) },
    run: (k, p, t) => k.gemm(p.a, p.b, p.c, n, n, n, n, n, n, 0, 1, 1, 0, 0, 0, 1, 0, t, t),
    flops: 2 * n ** 3,
  };
  const count = 3 * n * n;
  const copy: KernelCase = {
    op: "copy",
    sizes: `[${count}]`,
    operands: { x: read([count], { type: "f32" }), y: written([count], { type: "f32" }) },
    run: (k, p) => k.copy(p.y, p.x, 4 * count),
  };
  return {
    product: timeCase(device, product, storage, patience).perSecond,
    copy: timeCase(device, copy, storage, patience).perSecond,
  };
}
