/** Token embedding. @module */
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";
import type { Tape } from "../tape.ts";

/**
 * Looks up the row of each token: y[n] = w[id[n]].
 *
 *   dw[id[n]] += dy[n], rows with id = paddingId excepted
 *
 * @param ids [N] i32, each in [0, V)
 * @param w [V, D]
 * @param paddingId The token whose row is not trained from here
 * @returns [N, D], dtype of w
 */
export function embedding(tape: Tape, ids: Tensor, w: Parameter, paddingId = -1): Tensor {
  const [N] = ids.shape;
  const [V, D] = w.weight.shape;
  const y = tape.empty([N, D], w.weight.dtype);
  tape.kernels.embeddingForward(ids.ptr, w.weight.ptr, y.ptr, N, D, V, w.weight.code);
  return tape.record(y, (dy) => {
    tape.weightGradient([dy], () => {
      if (!w.grad) return;
      tape.kernels.embeddingBackward(ids.ptr, dy.ptr, w.grad.ptr, N, D, V, paddingId, dy.code);
    });
  });
}
