/** Rows of length 1 against float64. @module */
import { assertEquals } from "@std/assert";
import { openContext } from "../../ffi/context.ts";
import { type Op, SIZES, testOp } from "./check_op.ts";

const EPS = 1e-12;

function rowNormalize(N: number, D: number): Op {
  return {
    title: `N = ${N}, D = ${D}`,
    inputs: { x: { shape: [N, D], gradient: "added to" } },
    outputs: {
      y: { shape: [N, D], type: "f32", hasGradient: true },
      r: { shape: [N], type: "f32" },
    },
    types: ["f32"],
    reference: ({ x }) => {
      const y = new Float64Array(N * D), r = new Float64Array(N);
      for (let n = 0; n < N; n++) {
        const row = x.subarray(n * D, n * D + D);
        r[n] = 1 / Math.max(EPS, Math.hypot(...row));
        row.forEach((v, d) => y[n * D + d] = v * r[n]);
      }
      return { y, r };
    },
    forward: (k, p, t) => k.rowNormalizeForward(p.x, p.y, p.r, N, D, EPS, t),
    backward: (k, p, t) => k.rowNormalizeBackward(p.dy, p.x, p.r, p.dx, N, D, EPS, t),
    slack: 4,
    magnitude: 1, // dx is the difference of numbers that are nearly equal when D is small
  };
}

/** Storage types narrower than the gradient of y, which is f32 always: the forward alone. */
function narrow(N: number, D: number): Op {
  const { backward: _, ...op } = rowNormalize(N, D);
  return {
    ...op,
    inputs: { x: { shape: [N, D] } },
    outputs: { y: { shape: [N, D] }, r: { shape: [N], type: "f32" } },
    types: ["bf16", "f16"],
  };
}

testOp("rowNormalize matches its formula and gradient on every width", function* () {
  for (const D of SIZES) yield rowNormalize(3, D);
  for (const D of [7, 63]) yield narrow(3, D);
  yield rowNormalize(67, 63);
});

Deno.test("rowNormalize divides a row of zeros by eps, and its gradient too", () => {
  using context = openContext({ threads: 1 });
  const [x, y, r, dy, dx] = [8, 8, 4, 8, 8].map((bytes) => context.alloc(bytes));
  context.upload(x, Float32Array.of(0, 0));
  context.upload(dy, Float32Array.of(1, -2));
  context.upload(dx, Float32Array.of(0, 0));
  context.rowNormalizeForward(x, y, r, 1, 2, 0.5, 0);
  context.rowNormalizeBackward(dy, x, r, dx, 1, 2, 0.5, 0);
  const read = (from: Deno.PointerValue) => {
    const values = new Float32Array(2);
    context.download(values, from);
    return [...values];
  };
  assertEquals(read(y), [0, 0]);
  assertEquals(read(dx), [2, -4]);
});
