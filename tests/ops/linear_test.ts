/** Linear layers and their gradients against float64, their rounding, and products in tf32. @module */
import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { type Context, openContext, PRODUCTS } from "../../ffi/context.ts";
import type { Pointer } from "../../ffi/kernels.ts";
import type { Backend } from "../../ffi/library.ts";
import { offset } from "../../ffi/memory.ts";
import { NativeError } from "../../ffi/native_error.ts";
import { BACKENDS, isAvailable, type Op, SIZES, testOp } from "./check_op.ts";
import { type Element, fromNumbers, toNumbers } from "./element.ts";
import { countersOf } from "./emulation.ts";

const F32 = 0; // lp_dtype

function linear(N: number, D: number, F: number, hasBias = true): Op {
  const bias = { b: { shape: [F], gradient: "added to" } } as const;
  return {
    title: `N = ${N}, D = ${D}, F = ${F}${hasBias ? "" : ", no bias"}`,
    inputs: {
      x: { shape: [N, D], gradient: "overwritten" },
      w: { shape: [F, D], gradient: "added to" },
      ...(hasBias ? bias : {}),
    },
    outputs: { y: { shape: [N, F], value: () => NaN, hasGradient: true } },
    reference: ({ x, w, b }) => {
      const y = new Float64Array(N * F);
      for (let n = 0; n < N; n++) {
        for (let f = 0; f < F; f++) {
          let sum = b?.[f] ?? 0;
          for (let d = 0; d < D; d++) sum += x[n * D + d] * w[f * D + d];
          y[n * F + f] = sum;
        }
      }
      return { y };
    },
    forward: (k, p, t) => k.linearForward(p.x, p.w, p.b ?? null, p.y, N, D, F, t),
    backward: (k, p, t) => {
      k.gemm(p.dy, p.w, p.dx, N, D, F, F, D, D, 0, 0, 1, 0, 0, 0, 1, 0, t, t);
      k.gemm(p.dy, p.x, p.dw, F, D, N, F, D, D, 1, 0, 1, 0, 0, 0, 1, 1, t, F32);
      if (hasBias) k.biasBackward(p.dy, p.db, N, F, t);
    },
    slack: 4,
  };
}

testOp("linear multiplies and adds its bias, and has their gradients", function* () {
  for (const F of [1, 7, 8, 9, 63]) yield linear(3, 5, F);
  for (const N of [1, 2, 4, 5, 33]) yield linear(N, 9, 17); // up to 4: weights are streamed once
  yield linear(7, 1, 9);
  yield linear(16, 40, 24); // rows of whole 16 bytes, which cuBLASLt asks for
  yield linear(1, 16, 8);
  yield linear(70, 64, 136);
  yield linear(9, 3, 390); // larger than a tile of the CPU
  yield linear(16, 40, 24, false);
  yield linear(5, 7, 9, false);
});

testOp("the gradient of a bias is the sum over the rows", function* () {
  const sum = (N: number, F: number): Op => ({
    title: `N = ${N}, F = ${F}`,
    inputs: { dy: { shape: [N, F] } },
    outputs: { db: { shape: [F], type: "f32" } },
    reference: ({ dy, db }) => ({
      db: db.map((before, f) => {
        let total = before;
        for (let n = 0; n < N; n++) total += dy[n * F + f];
        return total;
      }),
    }),
    forward: (k, p, t) => k.biasBackward(p.dy, p.db, N, F, t),
    slack: 4,
  });
  for (const F of SIZES) yield sum(3, F);
  yield sum(1, 9);
  yield sum(203, 63);
});

/** Declares a test of each of these backends that there is. */
function testBackends(
  name: string,
  run: (context: Context, backend: Backend) => void,
  backends = BACKENDS,
): void {
  for (const backend of backends) {
    Deno.test({
      name: `${name} (${backend})`,
      ignore: !isAvailable(backend),
      fn: () => {
        using context = openContext({ backend, threads: 1 });
        run(context, backend);
      },
    });
  }
}

/** Device memory with these numbers. */
function upload(context: Context, numbers: number[], type: Element): Pointer {
  const bytes = fromNumbers(numbers, type);
  const ptr = context.alloc(bytes.byteLength);
  context.upload(ptr, bytes);
  context.synchronize();
  return ptr;
}

/** Elements 0 and the last of y = x w^T + b, where all of x, of w and of b have one value. */
function ends(
  context: Context,
  [N, D, F]: readonly number[],
  values: { x: number; w: number; b?: number },
  type: "f32" | "bf16" | "f16",
): number[] {
  const { x, w, b } = values, code = { f32: 0, bf16: 1, f16: 2 }[type];
  const fill = (n: number, value: number) => upload(context, Array(n).fill(value), type);
  const y = fill(N * F, NaN);
  context.linearForward(
    fill(N * D, x),
    fill(F * D, w),
    b === undefined ? null : fill(F, b),
    y,
    N,
    D,
    F,
    code,
  );
  const bytes = fromNumbers(Array(N * F).fill(0), type);
  context.download(bytes, y);
  const got = toNumbers(bytes, type);
  return [got[0], got[N * F - 1]];
}

/** Few rows, products that cuBLASLt takes and that it does not, larger than a tile of the CPU. */
const SHAPES = [[1, 1, 1], [4, 8, 9], [16, 8, 24], [16, 8, 23], [5, 2, 390]] as const;

testBackends("linear rounds the sum of product and bias once", (context) => {
  // 273 and 2049 are odd, where bf16 and f16 have even numbers only: rounded before the bias of 1 is
  // added, they and the sum are 272 and 2048
  for (const [type, x, w, sum] of [["bf16", 13, 21, 274], ["f16", 3, 683, 2050]] as const) {
    for (const shape of SHAPES) {
      const found = ends(context, shape, { x: x / shape[1], w, b: 1 }, type);
      assertEquals(found, [sum, sum], `${type} [${shape}]`);
    }
  }
});

const emulated = BACKENDS.filter((backend) => backend.startsWith("cudaemu"));
testBackends(
  "linear of whole 16 bytes adds its bias in the product of cuBLASLt, without a kernel",
  (context, backend) => {
    const [N, D, F] = [16, 32, 24];
    const [x, w, y, b] = [N * D, F * D, N * F, F + 1].map((n) => context.alloc(4 * n));
    [x, w, y, b].forEach((ptr) => context.zero(ptr, 4 * F));
    const launches = (bias: Pointer, dtype: number) => {
      const before = countersOf(backend).launches;
      context.linearForward(x, w, bias, y, N, D, F, dtype);
      context.synchronize();
      return countersOf(backend).launches - before;
    };
    for (const [name, arithmetic] of Object.entries(PRODUCTS)) {
      context.selectProducts(arithmetic);
      for (const dtype of [0, 1, 2]) {
        // Off alignment, it is our own product
        const found = [b, offset(b, 4), b].map((bias) => launches(bias, dtype));
        assertEquals(found, [0, 1, 0], `${name} ${dtype}`);
      }
    }
  },
  emulated,
);

testBackends("linear refuses sizes that are none, and null pointers", (context) => {
  const ptr = context.alloc(64);
  const refuses = (message: string, N: number, D: number, F: number, x: Pointer = ptr) => {
    const call = () => context.linearForward(x, ptr, ptr, ptr, N, D, F, F32);
    assertThrows(call, NativeError, `linear_forward: ${message}`);
  };
  refuses("N and F must be >= 0, found -1 and 2", -1, 2, 2);
  refuses("D must be >= 1, found 0", 2, 0, 2);
  refuses("a pointer is null; required are x, w, y", 2, 2, 2, null);
  context.linearForward(null, null, null, null, 0, 2, 2, F32);
});

/** Neither of these is a number of tf32, which rounds it to 1. */
const BELOW_TF32 = 1 + 2 ** -12;

testBackends(
  "products of f32 are exact until tf32 is selected, and then again",
  (context, backend) => {
    const [N, D, F] = [16, 32, 24], exact = D * BELOW_TF32;
    const product = () => ends(context, [N, D, F], { x: BELOW_TF32, w: 1, b: 0 }, "f32");
    assertEquals(product(), [exact, exact]);
    if (backend === "cpu") {
      assertThrows(
        () => context.selectProducts(PRODUCTS.tf32),
        NativeError,
        "products_select: the CPU has no tf32: its products of f32 are exact",
      );
    } else {
      context.selectProducts(PRODUCTS.tf32);
      assertEquals(product(), [D, D]);
      // Neither sums nor biases are rounded, and bf16 is as it was
      const sum = ends(context, [N, D, F], { x: 1, w: 1, b: 2 ** -12 }, "f32");
      assertEquals(sum, [D + 2 ** -12, D + 2 ** -12]);
      const half = ends(context, [N, D, F], { x: 1, w: 1, b: 0.5 }, "bf16");
      assertEquals(half, [D + 0.5, D + 0.5]);
    }
    context.selectProducts(PRODUCTS.exact);
    assertEquals(product(), [exact, exact]);
    assertThrows(
      () => context.selectProducts(2),
      NativeError,
      "products_select: arithmetic must be 0 (exact) or 1 (tf32), found 2",
    );
  },
);

const haveTf32 = BACKENDS.filter((backend) => backend !== "cpu");
testBackends("errors of tf32 are those of 10 bits", (context) => {
  const [N, D, F] = [64, 128, 64];
  const [x, w, y, wide] = [N * D, F * D, N * F, N * F].map((n) => context.alloc(4 * n));
  context.randomNormal(x, N * D, 1n, 0n, 0, 1, F32);
  context.randomNormal(w, F * D, 2n, 0n, 0, 1, F32);
  context.linearForward(x, w, null, wide, N, D, F, F32);
  context.selectProducts(PRODUCTS.tf32);
  context.linearForward(x, w, null, y, N, D, F, F32);
  const [found, wanted] = [y, wide].map((ptr) => {
    const values = new Float32Array(N * F);
    context.download(values, ptr);
    return values;
  });
  const mean = found.reduce((sum, v, i) => sum + (v - wanted[i]) ** 2, 0) / (N * F);
  // Sums of D products of normal numbers: two roundings of a relative error that is even in
  // [-2^-11, 2^-11] for the smallest mantissas and half of that for the largest
  const error = Math.sqrt(mean / D), step = 2 ** -11;
  assertAlmostEquals(error / step, 0.6, 0.25);
}, haveTf32);
