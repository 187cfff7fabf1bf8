/** Matrix products against float64. @module */
import { assertEquals, assertThrows } from "@std/assert";
import { openContext } from "../../ffi/context.ts";
import { NativeError } from "../../ffi/native_error.ts";
import { BACKENDS, type Op, testOp } from "./check_op.ts";
import type { Element } from "./element.ts";

interface Product {
  rows: number;
  cols: number;
  inner: number;
  transA?: boolean;
  transB?: boolean;
  batch?: number;
  /** Elements between the end of a row and the next one, and between matrices. */
  gap?: number;
  sharedA?: boolean;
  sharedB?: boolean;
  alpha?: number;
  beta?: number;
  out?: "f32";
}

function gemm(product: Product, types?: readonly Element[]): Op {
  const { rows, cols, inner, transA = false, transB = false, batch = 1, gap = 0 } = product;
  const { sharedA = false, sharedB = false, alpha = 1, beta = 0, out } = product;
  const [heightA, lda] = transA ? [inner, rows + gap] : [rows, inner + gap];
  const [heightB, ldb] = transB ? [cols, inner + gap] : [inner, cols + gap];
  const ldc = cols + gap;
  const [sizeA, sizeB, sizeC] = [heightA * lda + gap, heightB * ldb + gap, rows * ldc + gap];
  const options = Object.entries(product).map(([key, value]) => `${key} ${value}`);
  return {
    title: options.join(", "),
    inputs: {
      A: { shape: [sharedA ? 1 : batch, sizeA] },
      B: { shape: [sharedB ? 1 : batch, sizeB] },
    },
    outputs: {
      C: {
        shape: [batch, sizeC],
        ...(out ? { type: out } : {}),
        // 0 times what C held is not nan
        ...(beta === 0 && gap === 0 ? { value: () => NaN } : {}),
      },
    },
    reference: ({ A, B, C }) => {
      for (let i = 0; i < batch; i++) {
        const [a, b] = [sharedA ? 0 : i * sizeA, sharedB ? 0 : i * sizeB];
        for (let r = 0; r < rows; r++) {
          for (let c = 0; c < cols; c++) {
            let sum = 0;
            for (let k = 0; k < inner; k++) {
              sum += A[a + (transA ? k * lda + r : r * lda + k)] *
                B[b + (transB ? c * ldb + k : k * ldb + c)];
            }
            const at = i * sizeC + r * ldc + c;
            C[at] = alpha * sum + (beta === 0 ? 0 : beta * C[at]);
          }
        }
      }
      return { C };
    },
    forward: (k, p, t) =>
      k.gemm(
        p.A,
        p.B,
        p.C,
        rows,
        cols,
        inner,
        lda,
        ldb,
        ldc,
        Number(transA),
        Number(transB),
        batch,
        sharedA ? 0 : sizeA,
        sharedB ? 0 : sizeB,
        sizeC,
        alpha,
        beta,
        t,
        out ? 0 : t,
      ),
    ...(types ? { types } : {}),
    slack: 4,
  };
}

// The last one has rows of whole 16 bytes, which cuBLASLt asks for
const SHAPES = [[1, 1, 1], [7, 9, 8], [8, 63, 1], [63, 7, 9], [33, 65, 129], [16, 24, 40]];
const LAYOUTS = [[false, false], [false, true], [true, false], [true, true]];

testOp("gemm multiplies in every layout and size", function* () {
  for (const [rows, cols, inner] of SHAPES) {
    for (const [transA, transB] of LAYOUTS) {
      yield gemm({ rows, cols, inner, transA, transB });
      yield gemm({ rows, cols, inner, transA, transB, gap: 3, alpha: 0.5, beta: 2 });
    }
  }
  for (const [transA, transB] of LAYOUTS) {
    yield gemm({ rows: 16, cols: 24, inner: 40, transA, transB, gap: 8, alpha: 0.5, beta: 2 });
  }
});

testOp("gemm of a few rows by a weight matrix", function* (backend) {
  // The CPU has a kernel for each number of rows, and parts of long sums. CUDA has neither, and
  // every step of a sum takes long in emulation
  const isEmulated = backend.startsWith("cudaemu");
  const sizes = [[1, 7], [9, 64], [33, 700], ...(isEmulated ? [] : [[7, 4099]])];
  for (const rows of isEmulated ? [1, 5] : [1, 2, 3, 4, 5]) {
    for (const [cols, inner] of sizes) {
      yield gemm({ rows, cols, inner, transB: true });
      yield gemm({ rows, cols, inner, transB: true, gap: 5, alpha: -2, beta: 0.5, out: "f32" });
    }
  }
});

testOp("gemm of a batch, with shared operands", function* () {
  for (const [transA, transB] of LAYOUTS) {
    const shape = { rows: 5, cols: 9, inner: 17, transA, transB, batch: 3 };
    yield gemm(shape);
    yield gemm({ ...shape, gap: 2, alpha: 0.25, beta: 1 });
    yield gemm({ ...shape, gap: 2, sharedA: true });
    yield gemm({ ...shape, gap: 2, sharedB: true });
    const whole = { ...shape, rows: 8, cols: 16, inner: 24 }; // as above
    yield gemm({ ...whole, beta: 1 });
    yield gemm({ ...whole, sharedA: true });
    yield gemm({ ...whole, gap: 8, sharedB: true });
  }
});

testOp("gemm adds weight gradients to f32", function* () {
  for (const [rows, cols, inner] of SHAPES) {
    yield gemm({ rows, cols, inner, transA: true, beta: 1, out: "f32" }, ["bf16", "f16"]);
  }
});

testOp("gemm of matrices larger than a tile or a panel", function* (backend) {
  const inner = backend.startsWith("cudaemu") ? 70 : 1030; // as above
  yield gemm({ rows: 390, cols: 5, inner, gap: 1, beta: 1 });
  yield gemm({ rows: 5, cols: 390, inner, gap: 1, transB: true }, ["bf16"]);
  yield gemm({ rows: 530, cols: 9, inner: 70, transA: true });
});

Deno.test("gemm() gives the same bits with one and two threads", {
  ignore: !BACKENDS.includes("cpu"),
}, () => {
  using one = openContext({ threads: 1 });
  using two = openContext({ threads: 2 });
  const n = 1 << 20;
  const [A, B] = [one.alloc(4 * n), one.alloc(4 * n)];
  for (const [type, out] of [[0, 0], [1, 1], [1, 0], [2, 0]]) {
    one.randomNormal(A, n, 1n, 0n, 0, 1, type);
    one.randomNormal(B, n, 2n, 0n, 0, 1, type);
    for (
      const [rows, cols, inner] of [
        [8, 8, 60_000],
        [300, 500, 1500],
        [5, 700, 1400],
        [512, 512, 1024],
        [1536, 512, 640],
        [1536, 512, 640],
      ]
    ) {
      for (const [transA, transB] of LAYOUTS) {
        for (const gap of [0, 4]) {
          const [lda, ldb] = [transA ? rows : inner, transB ? inner : cols];
          const [first, second] = [one, two].map((context) => {
            const C = context.alloc(4 * rows * cols);
            const [a, b] = [Number(transA), Number(transB)];
            context.gemm(
              A,
              B,
              C,
              rows,
              cols,
              inner,
              lda + gap,
              ldb + gap,
              cols,
              a,
              b,
              1,
              0,
              0,
              0,
              1,
              0,
              type,
              out,
            );
            const result = new Uint32Array(rows * cols / (out === 0 ? 1 : 2));
            context.download(result, C);
            return result;
          });
          assertEquals(
            first,
            second,
            `${rows} ${cols} ${inner} ${transA} ${transB} ${gap} ${type}`,
          );
        }
      }
    }
  }
});

testOp("gemm of nothing leaves beta C", function* () {
  const op = gemm({ rows: 3, cols: 5, inner: 0, beta: 2 });
  yield { ...op, inputs: { A: { shape: [1] }, B: { shape: [1] } } };
  yield gemm({ rows: 3, cols: 5, inner: 7, alpha: 0, beta: 2 });
});

Deno.test("gemm() refuses strides smaller than a row", () => {
  using context = openContext({ threads: 1 });
  const ptr = context.alloc(1024);
  assertThrows(
    () => context.gemm(ptr, ptr, ptr, 4, 4, 4, 3, 4, 4, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0),
    NativeError,
    "gemm: lda must be >= 4, found 3",
  );
});
