/** Slopes of attention with linear biases. @module */
import type { Device } from "../tensor/device.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The slopes of H heads on a device, [H] f32, as attention takes them. */
export function uploadSlopes(device: Device, H: number): Tensor {
  const slopes = device.tensor([H], "f32");
  device.upload(slopes, alibiSlopes(H));
  return slopes;
}

/**
 * The slope of each of H heads, [H] f32. With c the largest power of two that is at most H:
 *
 *   b = 2^(-8/c)     slopes b^1, b^2 .. b^c, then the odd powers of sqrt(b): b^(1/2), b^(3/2) ..
 *
 * @see arXiv:2108.12409
 */
function alibiSlopes(H: number): Float32Array {
  const c = 2 ** Math.floor(Math.log2(H));
  return Float32Array.from(
    { length: H },
    (_, h) => 2 ** (-8 / c * (h < c ? h + 1 : h - c + 0.5)),
  );
}
