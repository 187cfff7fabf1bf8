/** Residual connections. @module */
import { expectShape, type Tensor } from "../tensor.ts";
import type { Tape } from "../tape.ts";

/**
 * y = a + b; the gradient of both is dy, which is shared, not copied.
 *
 * @param a [N, D]
 * @param b [N, D], dtype of a
 * @returns [N, D], dtype of a
 * @throws {TypeError} If the shapes differ
 */
export function add(tape: Tape, a: Tensor, b: Tensor): Tensor {
  expectShape("add", "b", b, a.shape);
  const y = tape.like(a);
  tape.kernels.add(a.ptr, b.ptr, y.ptr, a.size, a.code);
  return recordSum(tape, y, a, b);
}

/** Records that `y` is a + b, whichever kernel added them. Returns `y`. */
export function recordSum(tape: Tape, y: Tensor, a: Tensor, b: Tensor): Tensor {
  return tape.record(y, (dy) => {
    tape.passGradient(a, dy);
    tape.passGradient(b, dy);
  });
}
