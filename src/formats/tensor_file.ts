/** What every file of named tensors has in common, whatever its format. @module */

/** Element types by their safetensors name, with their width in bits. */
export const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** An element type, by its safetensors name. */
export type StoredType = keyof typeof DTYPE_BITS;

/** Whether a word is the safetensors name of an element type. */
export function isStoredType(word: unknown): word is StoredType {
  return typeof word === "string" && Object.hasOwn(DTYPE_BITS, word);
}

/** One tensor of a file. */
export interface StoredTensor {
  /** Element type. */
  readonly dtype: StoredType;
  /** Size of each dimension; empty for a scalar. */
  readonly shape: readonly number[];
  /** Bytes of all elements, row-major and without gaps. */
  readonly byteLength: number;
}

/** Bytes of a tensor from `begin` up to `end`. */
export interface ByteRange {
  /** First byte. */
  readonly begin: number;
  /** First byte that is not in it. */
  readonly end: number;
}

/** An open file of named tensors; nothing is read before it is asked for. */
export interface TensorFile extends Disposable {
  /** Where the file is. */
  readonly path: string;
  /** The tensors by name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /**
   * Reads one tensor: little-endian, row-major.
   *
   * @param into Exactly `byteLength` bytes; a new array if left out
   * @throws {FormatError} If the file became shorter or fails its checksum
   */
  read(name: string, into?: Uint8Array): Uint8Array;
  /**
   * Reads one tensor in small pieces; each is valid until the next one is taken.
   *
   * @param range Which of its bytes; all if left out
   */
  chunks(name: string, range?: ByteRange): Iterable<Uint8Array>;
  /** Closes the file. */
  close(): void;
}

/** A tensor to write: what it is, and how to get its bytes when their turn has come. */
export interface TensorData {
  /** Name in the file. */
  name: string;
  /** Element type. */
  dtype: StoredType;
  /** Size of each dimension. */
  shape: readonly number[];
  /** The bytes in order, little-endian and row-major; a piece may be reused for the next one. */
  chunks(): Iterable<Uint8Array>;
}

/**
 * Bytes that a tensor of this type and shape takes, or undefined when no file can hold it: sizes
 * that are not whole numbers from 0, a product beyond 2^53, or bits that do not fill whole bytes.
 */
export function tensorBytes(dtype: StoredType, shape: readonly unknown[]): number | undefined {
  let bits: number = DTYPE_BITS[dtype];
  for (const size of shape) {
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return undefined;
    bits *= size;
    if (bits > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return bits % 8 === 0 ? bits / 8 : undefined;
}

/** Elements of a tensor of this shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
