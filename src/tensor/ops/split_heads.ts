/** Rows that hold the query, key and value of one head after another, sorted for attention. @module */
import type { Tensor } from "../tensor.ts";
import type { Tape } from "../tape.ts";

/**
 * Sorts rows of heads into a block of queries, one of keys and one of values.
 *
 *   y[j, n, h] = x[n, h, j]      x as [N, H, 3, K], y as [3, N, H, K]
 *
 * @param x [N, 3 H K]
 * @returns [N, 3 H K], dtype of x: the layout "blocks" of attention
 */
export function splitHeads(tape: Tape, x: Tensor, { H, K }: { H: number; K: number }): Tensor {
  const [N] = x.shape;
  const y = tape.like(x);
  const head = K * (x.bytes / x.size);
  for (let j = 0; j < 3; j++) {
    tape.kernels.copyRows(y.at(j * N * H * K), x.at(j * K), N * H, head, head, 3 * head);
  }
  return tape.record(y, (dy) => {
    const { tensor: dx, accumulate } = tape.gradient(x);
    if (accumulate) throw new TypeError("Cannot use the input of splitHeads in another op");
    for (let j = 0; j < 3; j++) {
      tape.kernels.copyRows(dx.at(j * K), dy.at(j * N * H * K), N * H, head, 3 * head, head);
    }
  });
}
