/** Storage types as the native side has them, to and from numbers. @module */

/** A type of an element in memory. */
export type Element = "f32" | "bf16" | "f16" | "i32" | "f64" | "i8";

/** The bits of `numbers` in a type, rounded to nearest even. */
export function fromNumbers(
  numbers: ArrayLike<number>,
  type: Element,
):
  | Float32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer> {
  switch (type) {
    case "f32":
      return Float32Array.from(numbers);
    case "bf16":
      return Uint16Array.from(numbers, bf16Bits);
    case "f16":
      return new Uint16Array(Float16Array.from(numbers).buffer);
    case "i32":
      return Int32Array.from(numbers);
    case "f64":
      return Float64Array.from(numbers);
    case "i8":
      return Int8Array.from(numbers);
  }
}

/** The numbers that the bits of a type stand for. */
export function toNumbers(bits: ArrayBufferView<ArrayBuffer>, type: Element): Float64Array {
  const { buffer, byteOffset, byteLength } = bits;
  switch (type) {
    case "f32":
      return Float64Array.from(new Float32Array(buffer, byteOffset, byteLength / 4));
    case "bf16": {
      const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
      return Float64Array.from(new Float32Array(Uint32Array.from(halves, (h) => h << 16).buffer));
    }
    case "f16":
      return Float64Array.from(new Float16Array(buffer, byteOffset, byteLength / 2));
    case "i32":
      return Float64Array.from(new Int32Array(buffer, byteOffset, byteLength / 4));
    case "f64":
      return Float64Array.from(new Float64Array(buffer, byteOffset, byteLength / 8));
    case "i8":
      return Float64Array.from(new Int8Array(buffer, byteOffset, byteLength));
  }
}

const one = new Float32Array(1);
const oneBits = new Uint32Array(one.buffer);

/** bf16 bits of a number that f32 holds or is rounded to first. */
function bf16Bits(value: number): number {
  one[0] = value;
  if (Number.isNaN(value)) return 0x7fc0;
  return (oneBits[0] + 0x7fff + ((oneBits[0] >>> 16) & 1)) >>> 16;
}
