/** Activation functions of MLPs. @module */
import type { Tensor } from "../tensor.ts";
import type { Tape } from "../tape.ts";

/**
 * Gates the second half of each row by the first.
 *
 *   y = silu(a) * b              (a, b) = halves of x,  silu(a) = a / (1 + exp(-a))
 *
 * @param x [N, 2F]
 * @returns [N, F], dtype of x
 * @see arXiv:2002.05202
 */
export function swiglu(tape: Tape, x: Tensor): Tensor {
  const [N, F2] = x.shape;
  const y = tape.empty([N, F2 / 2], x.dtype);
  tape.kernels.swigluForward(x.ptr, y.ptr, N, F2 / 2, x.code);
  return tape.record(y, (dy) => {
    const { tensor: dx, accumulate } = tape.gradient(x);
    if (accumulate) throw new TypeError("Cannot use the input of swiglu in another op");
    tape.kernels.swigluBackward(dy.ptr, x.ptr, dx.ptr, N, F2 / 2, x.code);
  });
}

/**
 * Gaussian error linear unit, tanh form.
 *
 *   y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
 *
 * @param x [N, F]
 * @returns [N, F], dtype of x
 * @see arXiv:1606.08415
 */
export function gelu(tape: Tape, x: Tensor): Tensor {
  const y = tape.like(x);
  tape.kernels.geluForward(x.ptr, y.ptr, x.size, x.code);
  return tape.record(y, (dy) => {
    const { tensor: dx, accumulate } = tape.gradient(x);
    if (accumulate) throw new TypeError("Cannot use the input of gelu in another op");
    tape.kernels.geluBackward(dy.ptr, x.ptr, dx.ptr, x.size, x.code);
  });
}
