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
      return new Float32Array(numbers);
    case "bf16":
      return bf16Bits(new Float32Array(numbers));
    case "f16":
      return new Uint16Array(new Float16Array(numbers).buffer);
    case "i32":
      return new Int32Array(numbers);
    case "f64":
      return new Float64Array(numbers);
    case "i8":
      return new Int8Array(numbers);
  }
}

/** The numbers that the bits of a type stand for. */
export function toNumbers(bits: ArrayBufferView<ArrayBuffer>, type: Element): Float64Array {
  const { buffer, byteOffset, byteLength } = bits;
  switch (type) {
    case "f32":
      return new Float64Array(new Float32Array(buffer, byteOffset, byteLength / 4));
    case "bf16": {
      const words = new Uint32Array(new Uint16Array(buffer, byteOffset, byteLength / 2));
      for (let i = 0; i < words.length; i++) words[i] = words[i]! << 16;
      return new Float64Array(new Float32Array(words.buffer));
    }
    case "f16":
      return new Float64Array(new Float16Array(buffer, byteOffset, byteLength / 2));
    case "i32":
      return new Float64Array(new Int32Array(buffer, byteOffset, byteLength / 4));
    case "f64":
      return new Float64Array(new Float64Array(buffer, byteOffset, byteLength / 8));
    case "i8":
      return new Float64Array(new Int8Array(buffer, byteOffset, byteLength));
  }
}

/** bf16 bits of numbers that f32 holds. */
function bf16Bits(numbers: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(numbers.buffer);
  const bits = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    bits[i] = Number.isNaN(numbers[i]) ? 0x7fc0 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}
