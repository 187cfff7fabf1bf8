/** Inputs of reductions, and what comes out, computed here in the order of the ranks. @module */

/** Storage types that are reduced. */
export const STORAGES = ["f32", "f64", "bf16", "f16"] as const;
/** A storage type. */
export type Storage = typeof STORAGES[number];

/** Lengths below and above the limits between the ways of a reduction, and uneven ones. */
export const SIZES = [0, 1, 3, 4097, 20_011];
/** Elements of f64 that travel in several segments, among up to 4 ranks. */
export const SEVERAL_SEGMENTS = { allReduce: 600_011, reduceScatter: 140_003 };

interface Rounder {
  array: new (
    n: number,
  ) => Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;
  /** `lp_dtype` */
  code: number;
  toNumber: (bits: number) => number;
  fromNumber: (x: number) => number;
}

const same = (x: number) => x;
const words = new Uint32Array(1), floats = new Float32Array(words.buffer);
const halves = new Float16Array(1), halfBits = new Uint16Array(halves.buffer);

function bf16FromNumber(x: number): number {
  floats[0] = x;
  return (words[0] + 0x7fff + (words[0] >>> 16 & 1)) >>> 16;
}
function bf16ToNumber(bits: number): number {
  words[0] = bits << 16;
  return floats[0];
}
function f16FromNumber(x: number): number {
  halves[0] = x;
  return halfBits[0];
}
function f16ToNumber(bits: number): number {
  halfBits[0] = bits;
  return halves[0];
}

/** How numbers become elements of a storage type, and back. */
export const ROUNDERS: Record<Storage, Rounder> = {
  f32: { array: Float32Array, code: 0, toNumber: same, fromNumber: Math.fround },
  f64: { array: Float64Array, code: 4, toNumber: same, fromNumber: same },
  bf16: { array: Uint16Array, code: 1, toNumber: bf16ToNumber, fromNumber: bf16FromNumber },
  f16: { array: Uint16Array, code: 2, toNumber: f16ToNumber, fromNumber: f16FromNumber },
};

/** Elements of a rank: numbers whose sum depends on the order in which they are added. */
export function input(storage: Storage, rank: number, n: number): InstanceType<Rounder["array"]> {
  const { array, fromNumber } = ROUNDERS[storage];
  const values = new array(n);
  for (let i = 0; i < n; i++) values[i] = fromNumber(value(rank, i));
  return values;
}

/** ((x0 + x1) + x2) + ... in f32 (f64 for f64), rounded once to the storage type. */
export function expectedReduction(
  storage: Storage,
  ranks: number,
  n: number,
  reduction: "sum" | "max",
): InstanceType<Rounder["array"]> {
  const { array, fromNumber, toNumber } = ROUNDERS[storage];
  const round = storage === "f64" ? same : Math.fround;
  const result = new array(n);
  for (let i = 0; i < n; i++) {
    let sum = toNumber(fromNumber(value(0, i)));
    for (let rank = 1; rank < ranks; rank++) {
      const x = toNumber(fromNumber(value(rank, i)));
      sum = reduction === "sum" ? round(sum + x) : Math.max(sum, x);
    }
    result[i] = fromNumber(sum);
  }
  return result;
}

function value(rank: number, i: number): number {
  const bits = Math.imul(i + 1, 2654435761) ^ Math.imul(rank + 1, 40503);
  return ((bits >>> 8) / 2 ** 24 - 0.5) * 2 ** (rank * 3 % 7);
}
