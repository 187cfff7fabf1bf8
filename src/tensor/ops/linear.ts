/** Linear layers. @module */
import type { Parameter } from "../parameter.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import type { Tape } from "../tape.ts";

/**
 * Multiplies each row by a weight matrix.
 *
 *   y   = x w^T + b
 *   dx += dy w
 *   dw += dy^T x      (deferred: see Tape.weightGradient)
 *   db += sum_N(dy)
 *
 * @param x [N, D]
 * @param w [F, D], dtype of x
 * @param b [F], dtype of x
 * @returns [N, F], dtype of x
 * @throws {TypeError} If w is not [F, D] or b is not [F]
 */
export function linear(tape: Tape, x: Tensor, w: Parameter, b?: Parameter): Tensor {
  const [N, D] = x.shape;
  const F = w.weight.shape[0];
  expectShape("linear", "w", w.weight, [F, D]);
  if (b) expectShape("linear", "b", b.weight, [F]);
  const y = tape.empty([N, F], x.dtype);
  tape.kernels.linearForward(x.ptr, w.weight.ptr, b?.weight.ptr ?? null, y.ptr, N, D, F, x.code);
  return tape.record(y, (dy) => {
    const dx = tape.gradient(x);
    matmul(tape, dy, w.weight, dx.tensor, { beta: dx.accumulate });
    tape.weightGradient([dy], () => {
      if (w.grad) matmul(tape, dy, x, w.grad, { transposeA: true, beta: 1 });
      if (b?.grad) tape.kernels.biasBackward(dy.ptr, b.grad.ptr, N, F, dy.code);
    });
  });
}

/**
 * C = op(A) op(B) + beta C for dense matrices, the plain product behind the ops.
 *
 * @param A [rows, inner], or [inner, rows] with transposeA
 * @param B [inner, cols], or [cols, inner] with transposeB; dtype of A
 * @param C [rows, cols], dtype of A or f32
 */
export function matmul(
  tape: Tape,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options: { transposeA?: boolean; transposeB?: boolean; beta?: number } = {},
): void {
  const { transposeA = false, transposeB = false, beta = 0 } = options;
  const [rows, cols] = C.shape;
  const inner = A.shape[transposeA ? 0 : 1];
  tape.kernels.gemm(
    A.ptr,
    B.ptr,
    C.ptr,
    rows,
    cols,
    inner,
    A.shape[1],
    B.shape[1],
    cols,
    transposeA ? 1 : 0,
    transposeB ? 1 : 0,
    1,
    0,
    0,
    0,
    1,
    beta,
    A.code,
    C.code,
  );
}
