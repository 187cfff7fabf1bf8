/** RMSNorm and LayerNorm, alone and with a residual that is added first, against float64. @module */
import { assertEquals } from "@std/assert";
import { openContext } from "../../ffi/context.ts";
import type { Pointer } from "../../ffi/kernels.ts";
import { BACKENDS, type Input, isAvailable, normal, type Op, SIZES, testOp } from "./check_op.ts";
import { fromNumbers } from "./element.ts";

const EPS = 1e-5;

/** What is normalised, and what comes to its gradient from elsewhere. */
type Source =
  /** x, and nothing. */
  | "x"
  /** x, and the numbers that dx holds. */
  | "x, added to"
  /** x + residual, and dsum. */
  | "sum";

function sourceOf(N: number, D: number, source: Source) {
  const x: Input = {
    shape: [N, D],
    gradient: source === "x, added to" ? "added to" : "overwritten",
    gradientType: "storage",
  };
  const isSum = source === "sum";
  // Sums that every type holds, so that the rounding of the sum (tested below) is no difference here
  const sixteenths = (factor: number) => (i: number) => (i * factor % 65 - 32) / 16;
  return {
    title: `N = ${N}, D = ${D}, of ${source}`,
    inputs: isSum
      ? { x: { ...x, value: sixteenths(37) }, residual: { shape: [N, D], value: sixteenths(23) } }
      : { x },
    outputs: isSum ? { sum: { shape: [N, D], hasGradient: true } } : {},
    sumOf: (x: Float64Array, residual?: Float64Array) =>
      residual ? x.map((v, i) => v + residual[i]) : x,
    before: (p: Record<string, Pointer>) => source === "x, added to" ? p.dx : p.dsum ?? null,
  };
}

function rmsNorm(N: number, D: number, source: Source): Op {
  const { title, inputs, outputs, sumOf, before } = sourceOf(N, D, source);
  return {
    title,
    inputs: { ...inputs, w: { shape: [D], gradient: "added to" } },
    outputs: {
      ...outputs,
      y: { shape: [N, D], hasGradient: true },
      r: { shape: [N], type: "f32" },
    },
    reference: ({ x, residual, w }) => {
      const sum = sumOf(x, residual);
      const y = new Float64Array(N * D), r = new Float64Array(N);
      for (let n = 0; n < N; n++) {
        const row = sum.subarray(n * D, n * D + D);
        r[n] = 1 / Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / D + EPS);
        row.forEach((v, d) => y[n * D + d] = v * r[n] * w[d]);
      }
      return { sum, y, r };
    },
    forward: (k, p, t) =>
      k.rmsNormForward(p.x, p.residual ?? null, p.w, p.sum ?? null, p.y, p.r, N, D, EPS, t),
    backward: (k, p, t) =>
      k.rmsNormBackward(p.dy, p.sum ?? p.x, p.w, p.r, before(p), p.dx, p.dw, N, D, t),
    slack: 2,
    magnitude: D === 1 ? 1 : 0, // dx is the difference of equal numbers
  };
}

function layerNorm(N: number, D: number, source: Source): Op {
  const { title, inputs, outputs, sumOf, before } = sourceOf(N, D, source);
  return {
    title,
    inputs: {
      ...inputs,
      w: { shape: [D], gradient: "added to" },
      b: { shape: [D], gradient: "added to" },
    },
    outputs: {
      ...outputs,
      y: { shape: [N, D], hasGradient: true },
      mean: { shape: [N], type: "f32" },
      r: { shape: [N], type: "f32" },
    },
    reference: ({ x, residual, w, b }) => {
      const sum = sumOf(x, residual);
      const y = new Float64Array(N * D), mean = new Float64Array(N), r = new Float64Array(N);
      for (let n = 0; n < N; n++) {
        const row = sum.subarray(n * D, n * D + D);
        mean[n] = row.reduce((sum, v) => sum + v, 0) / D;
        r[n] = 1 / Math.sqrt(row.reduce((sum, v) => sum + (v - mean[n]) ** 2, 0) / D + EPS);
        row.forEach((v, d) => y[n * D + d] = (v - mean[n]) * r[n] * w[d] + b[d]);
      }
      return { sum, y, mean, r };
    },
    forward: (k, p, t) =>
      // deno-fmt-ignore
      k.layerNormForward(p.x, p.residual ?? null, p.w, p.b, p.sum ?? null, p.y, p.mean, p.r, N, D, EPS, t),
    backward: (k, p, t) =>
      // deno-fmt-ignore
      k.layerNormBackward(p.dy, p.sum ?? p.x, p.w, p.mean, p.r, before(p), p.dx, p.dw, p.db, N, D, t),
    slack: 4,
  };
}

testOp("rmsNorm matches its formula and gradients on every width", function* () {
  for (const D of SIZES) yield rmsNorm(3, D, "x");
  for (const D of SIZES) yield rmsNorm(2, D, "sum");
  yield rmsNorm(67, 63, "x, added to");
  yield rmsNorm(67, 63, "sum");
  yield rmsNorm(5, 16_500, "x, added to"); // sums of dw that shared memory cannot hold
});

testOp("layerNorm matches its formula and gradients on every width", function* () {
  for (const D of SIZES.filter((D) => D > 1)) yield layerNorm(3, D, "x");
  for (const D of SIZES.filter((D) => D > 1)) yield layerNorm(2, D, "sum");
  yield layerNorm(67, 63, "x, added to");
  yield layerNorm(67, 63, "sum");
  yield layerNorm(5, 8300, "x, added to");
});

for (const backend of BACKENDS) {
  Deno.test({
    name: `a norm of a sum has the bits of an addition and a norm, in place too (${backend})`,
    ignore: !isAvailable(backend),
    fn: () => {
      using context = openContext({ backend, threads: 2 });
      for (const [code, type] of (["f32", "bf16", "f16"] as const).entries()) {
        for (const [N, D] of [[5, 63], [3, 264]]) {
          const size = N * D, bytes = size * (type === "f32" ? 4 : 2);
          const upload = (n: number, seed: number) => {
            const random = normal(seed);
            const values = fromNumbers(Float64Array.from({ length: n }, random), type);
            const at = context.alloc(values.byteLength);
            context.upload(at, values);
            return at;
          };
          const bits = (at: Pointer, length = bytes) => {
            const read = new Uint8Array(length);
            context.download(read, at);
            return read;
          };
          const [a, b] = [upload(size, 1), upload(size, 2)];
          const [w, shift] = [upload(D, 3), upload(D, 4)];
          const [sum, y, fusedSum, fusedY] = [5, 6, 7, 8].map((seed) => upload(size, seed));
          const [r, mean] = [context.alloc(4 * N), context.alloc(4 * N)];
          context.add(a, b, sum, size, code);

          context.rmsNormForward(sum, null, w, null, y, r, N, D, EPS, code);
          const rms = [bits(sum), bits(y), bits(r, 4 * N)];
          context.rmsNormForward(a, b, w, fusedSum, fusedY, r, N, D, EPS, code);
          assertEquals([bits(fusedSum), bits(fusedY), bits(r, 4 * N)], rms);

          context.layerNormForward(sum, null, w, shift, null, y, mean, r, N, D, EPS, code);
          const layer = [bits(sum), bits(y), bits(mean, 4 * N), bits(r, 4 * N)];
          context.layerNormForward(a, b, w, shift, a, b, mean, r, N, D, EPS, code);
          assertEquals([bits(a), bits(b), bits(mean, 4 * N), bits(r, 4 * N)], layer);
        }
      }
    },
  });
}
