/** Storage types of tensors and their codes in the native ABI. @module */

/** Storage type of activations and weights. */
export type FloatType = "f32" | "bf16" | "f16";
/** Storage type of any tensor. */
export type DType = FloatType | "i32" | "f64" | "u8";

/** The `lp_dtype` of each storage type, as in csrc/llmpipe.h. */
export const DTYPE_CODE: Readonly<Record<DType, number>> = {
  f32: 0,
  bf16: 1,
  f16: 2,
  i32: 3,
  f64: 4,
  u8: 5,
};

/** Bytes of one element. */
export const BYTES_PER_ELEMENT: Readonly<Record<DType, number>> = {
  f32: 4,
  bf16: 2,
  f16: 2,
  i32: 4,
  f64: 8,
  u8: 1,
};
