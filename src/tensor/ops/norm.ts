/** Normalisations. @module */
import type { Parameter } from "../parameter.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import type { Tape } from "../tape.ts";
import { recordSum } from "./add.ts";

/**
 * Scales each row to unit root mean square, then by `w`.
 *
 *   y   = x * r * w                         r = 1 / sqrt(mean_D(x^2) + eps)
 *   dx += r * (g - x * r^2 * mean_D(g * x))          g = dy * w
 *   dw += sum_N(dy * x * r)
 *
 * @param x [N, D]
 * @param w [D], dtype of x
 * @param eps Added to the mean square, inside the root
 * @returns [N, D], dtype of x
 * @throws {TypeError} If w is not [D]
 * @see arXiv:1910.07467, eq. 4
 */
export function rmsNorm(tape: Tape, x: Tensor, w: Parameter, eps: number): Tensor {
  return rmsNormOf(tape, { x, sum: x }, w, eps);
}

/**
 * Adds a branch to the residual stream and normalises the sum, in one pass over memory:
 *
 *   s = residual + x        y = rmsNorm(s)        dresidual = dx = ds + d rmsNorm / ds
 *
 * @param residual [N, D]
 * @param x [N, D], dtype of residual
 * @returns s and y, with the bits of `add` and `rmsNorm`
 * @throws {TypeError} If x is not [N, D] or w is not [D]
 */
export function addRmsNorm(
  tape: Tape,
  residual: Tensor,
  x: Tensor,
  w: Parameter,
  eps: number,
): [s: Tensor, y: Tensor] {
  const sum = sumOf(tape, "addRmsNorm", residual, x);
  return [sum, rmsNormOf(tape, { x, residual, sum }, w, eps)];
}

/**
 * Normalises each row to mean 0 and variance 1, then scales and shifts it.
 *
 *   y   = xh * w + b             xh = (x - mean) * r,  r = 1 / sqrt(var_D(x) + eps)
 *   dx += r * (g - mean_D(g) - xh * mean_D(g * xh))         g = dy * w
 *   dw += sum_N(dy * xh)         db += sum_N(dy)
 *
 * @param x [N, D]
 * @param w [D], dtype of x
 * @param b [D], dtype of x
 * @returns [N, D], dtype of x
 * @throws {TypeError} If w or b is not [D]
 * @see arXiv:1607.06450
 */
export function layerNorm(
  tape: Tape,
  x: Tensor,
  w: Parameter,
  b: Parameter,
  eps: number,
): Tensor {
  return layerNormOf(tape, { x, sum: x }, w, b, eps);
}

/** `addRmsNorm` with `layerNorm`. @throws {TypeError} If x is not [N, D], or w or b is not [D] */
export function addLayerNorm(
  tape: Tape,
  residual: Tensor,
  x: Tensor,
  w: Parameter,
  b: Parameter,
  eps: number,
): [s: Tensor, y: Tensor] {
  const sum = sumOf(tape, "addLayerNorm", residual, x);
  return [sum, layerNormOf(tape, { x, residual, sum }, w, b, eps)];
}

/** What is normalised: x, or the sum of both. */
interface Source {
  x: Tensor;
  residual?: Tensor;
  /** Written by the norm where there is a residual. */
  sum: Tensor;
}

/** Where the norm that follows writes the sum; recorded before it, so that its backward comes last. */
function sumOf(tape: Tape, op: string, residual: Tensor, x: Tensor): Tensor {
  expectShape(op, "x", x, residual.shape);
  return recordSum(tape, tape.like(x), residual, x);
}

function rmsNormOf(tape: Tape, { x, residual, sum }: Source, w: Parameter, eps: number): Tensor {
  const [N, D] = x.shape;
  expectShape("rmsNorm", "w", w.weight, [D]);
  const y = tape.like(x);
  const r = tape.empty([N], "f32");
  tape.kernels.rmsNormForward(
    x.ptr,
    residual?.ptr ?? null,
    w.weight.ptr,
    sum.ptr,
    y.ptr,
    r.ptr,
    N,
    D,
    eps,
    x.code,
  );
  return tape.record(y, (dy) => {
    const { tensor: dx, before } = tape.gradientSum(sum);
    tape.kernels.rmsNormBackward(
      dy.ptr,
      sum.ptr,
      w.weight.ptr,
      r.ptr,
      before?.ptr ?? null,
      dx.ptr,
      w.grad?.ptr ?? null,
      N,
      D,
      x.code,
    );
  });
}

function layerNormOf(
  tape: Tape,
  { x, residual, sum }: Source,
  w: Parameter,
  b: Parameter,
  eps: number,
): Tensor {
  const [N, D] = x.shape;
  expectShape("layerNorm", "w", w.weight, [D]);
  expectShape("layerNorm", "b", b.weight, [D]);
  const y = tape.like(x);
  const mean = tape.empty([N], "f32");
  const r = tape.empty([N], "f32");
  tape.kernels.layerNormForward(
    x.ptr,
    residual?.ptr ?? null,
    w.weight.ptr,
    b.weight.ptr,
    sum.ptr,
    y.ptr,
    mean.ptr,
    r.ptr,
    N,
    D,
    eps,
    x.code,
  );
  return tape.record(y, (dy) => {
    const { tensor: dx, before } = tape.gradientSum(sum);
    tape.kernels.layerNormBackward(
      dy.ptr,
      sum.ptr,
      w.weight.ptr,
      mean.ptr,
      r.ptr,
      before?.ptr ?? null,
      dx.ptr,
      w.grad?.ptr ?? null,
      b.grad?.ptr ?? null,
      N,
      D,
      x.code,
    );
  });
}

/**
 * Scales each row of a weight to length 1.
 *
 *   y   = w * r                             r = 1 / max(sqrt(sum_D(w^2)), eps)
 *   dw += r * (dy - y * sum_D(dy * y))
 *
 * @param w [V, D]
 * @param eps Rows that are shorter are divided by it
 * @returns [V, D] y, to be used as a weight; its gradient lives until the backward of this op
 */
export function normalizeRows(tape: Tape, w: Parameter, eps: number): Parameter {
  const [V, D] = w.weight.shape;
  const y = tape.like(w.weight);
  const r = tape.empty([V], "f32");
  tape.kernels.rowNormalizeForward(w.weight.ptr, y.ptr, r.ptr, V, D, eps, y.code);
  if (tape.mode === "inference") return { ...w, weight: y, grad: undefined };
  const grad = tape.pool.acquire([V, D], "f32");
  tape.device.zero(grad);
  tape.record(y, (dy) => {
    tape.weightGradient([dy], () => {
      if (!w.grad) return;
      const { grad: dw, weight } = w;
      tape.kernels.rowNormalizeBackward(dy.ptr, weight.ptr, r.ptr, dw.ptr, V, D, eps, y.code);
    });
  });
  tape.passGradient(y, grad); // ops that use y add to it
  tape.pool.release(grad);
  return { ...w, weight: y, grad };
}
