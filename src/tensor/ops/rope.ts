/** Rotary position embedding. @module */
import type { Device } from "../device.ts";
import type { Tensor } from "../tensor.ts";
import type { Tape } from "../tape.ts";

/** Angles of every position, made once per model. */
export interface RopeTable {
  /** [positions, R/2] f32. */
  cos: Tensor;
  /** [positions, R/2] f32. */
  sin: Tensor;
}

/** Which elements of a head rotate together. */
export type RopeLayout =
  /** x[i] with x[i + R/2] (llama, mixtral). */
  | "half"
  /** x[2i] with x[2i + 1] (chatglm). */
  | "adjacent";

/**
 * Makes the table of cos(p * inverseFrequencies[i]), sin likewise.
 *
 * @param inverseFrequencies [R/2], radians per position
 * @param positions Longest sequence
 */
export function makeRopeTable(
  device: Device,
  inverseFrequencies: Float32Array,
  positions: number,
): RopeTable {
  const half = inverseFrequencies.length;
  const frequencies = device.tensor([half], "f32");
  device.upload(frequencies, inverseFrequencies);
  const cos = device.tensor([positions, half], "f32");
  const sin = device.tensor([positions, half], "f32");
  device.kernels.ropeTable(frequencies.ptr, cos.ptr, sin.ptr, positions, half, 1);
  return { cos, sin };
}

/**
 * Rotates the first R elements of the first `heads` heads of each row, in place: the result shares
 * the memory of `x`, which must not be read again.
 *
 *   (a', b') = (a cos - b sin, b cos + a sin)      gradient: the inverse rotation
 *
 * @param x [N, W] with heads * K <= W
 * @param positions [N] i32, each below the table's length
 * @returns [N, W], the memory of x
 * @see arXiv:2104.09864
 */
export function rope(
  tape: Tape,
  x: Tensor,
  positions: Tensor,
  table: RopeTable,
  options: { heads: number; K: number; layout: RopeLayout },
): Tensor {
  const [N, W] = x.shape;
  const [length, half] = table.cos.shape;
  const rotate = (tensor: Tensor, direction: 1 | -1) =>
    tape.kernels.rope(
      tensor.ptr,
      positions.ptr,
      table.cos.ptr,
      table.sin.ptr,
      N,
      options.heads,
      options.K,
      2 * half,
      W,
      length,
      options.layout === "half" ? 0 : 1,
      direction,
      tensor.code,
    );
  rotate(x, 1);
  return tape.record(x.view(0, x.shape), (dy) => {
    rotate(dy, -1);
    tape.passGradient(x, dy);
  });
}
