/** Changing the element type of stored weights, rounding to nearest, ties to even. @module */
import type { StoredType, TensorData } from "../formats/tensor_file.ts";

/** Types that weights can be cast between. */
export type FloatStored = "F32" | "F16" | "BF16";

/** What a cast lost, and what was lost before. */
export interface CastLosses {
  /** Finite values that became infinite. */
  overflows: number;
  /** Values other than zero that became zero. */
  underflows: number;
  /** Values that were NaN or infinite, and still are. */
  notFinite: number;
}

/** Infinity in each type, without its sign; NaN are beyond it. */
const INFINITY: Readonly<Record<FloatStored, number>> = {
  F32: 0x7f800000,
  F16: 0x7c00,
  BF16: 0x7f80,
};

/** Whether a stored type can be cast. */
export function isFloatStored(dtype: StoredType): dtype is FloatStored {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/**
 * The same tensor in another type, cast piece by piece as it is read. Infinities and NaN stay what
 * they are; finite values beyond the range become infinite, those too small zero; all are counted.
 *
 * @param tensor F32, F16 or BF16
 * @param losses Added to
 */
export function castTensor(
  tensor: TensorData,
  to: FloatStored,
  losses: CastLosses,
): TensorData {
  const { name, dtype, shape } = tensor;
  if (!isFloatStored(dtype)) {
    throw new TypeError(`Cannot cast ${name} as it must be F32, F16 or BF16: it is ${dtype}`);
  }
  if (dtype === to) return tensor;
  return {
    name,
    dtype: to,
    shape,
    *chunks() {
      for (const chunk of tensor.chunks()) {
        const values = toF32(chunk, dtype);
        const cast = fromF32(values, to);
        addLosses(losses, values, cast, to);
        yield cast;
      }
    },
  };
}

/** Stored values as f32; exact. */
export function toF32(bytes: Uint8Array, from: FloatStored): Float32Array {
  const own = bytes.slice().buffer;
  if (from === "F32") return new Float32Array(own);
  if (from === "F16") return new Float32Array(new Float16Array(own));
  const stored = new Uint16Array(own);
  const bits = new Uint32Array(stored.length);
  for (let i = 0; i < stored.length; i++) bits[i] = stored[i] << 16;
  return new Float32Array(bits.buffer);
}

/** f32 values as they are stored in another type, rounded to nearest, ties to even. */
export function fromF32(values: Float32Array, to: FloatStored): Uint8Array {
  if (to === "F32") return new Uint8Array(values.slice().buffer);
  if (to === "F16") return new Uint8Array(new Float16Array(values).buffer);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const stored = new Uint16Array(values.length);
  for (let i = 0; i < stored.length; i++) {
    const isNaN = (bits[i] & 0x7fffffff) > 0x7f800000;
    // Half a step, or one less when the kept part is even; a NaN must not round to infinity.
    const rounded = bits[i] + 0x7fff + (bits[i] >>> 16 & 1);
    stored[i] = isNaN ? bits[i] >>> 16 | 0x40 : rounded >>> 16;
  }
  return new Uint8Array(stored.buffer);
}

function addLosses(
  losses: CastLosses,
  values: Float32Array,
  cast: Uint8Array,
  to: FloatStored,
): void {
  const stored = to === "F32" ? new Uint32Array(cast.buffer) : new Uint16Array(cast.buffer);
  const infinity = INFINITY[to];
  const unsigned = to === "F32" ? 0x7fffffff : 0x7fff;
  for (let i = 0; i < stored.length; i++) {
    const magnitude = stored[i] & unsigned;
    if (magnitude >= infinity) losses[Number.isFinite(values[i]) ? "overflows" : "notFinite"]++;
    else if (magnitude === 0 && values[i] !== 0) losses.underflows++;
  }
}
