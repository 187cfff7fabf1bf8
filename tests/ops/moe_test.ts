/** Routing, rows by expert and products by expert against float64. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { openContext } from "../../ffi/context.ts";
import { offset as address } from "../../ffi/memory.ts";
import { BACKENDS, isAvailable, type Op, testOp, type Values } from "./check_op.ts";
import { countersOf } from "./emulation.ts";

/** How many rows each expert has: some none, one all, one token, many. */
const COUNTS = [[0, 3, 0, 4], [7, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1], [2], [70, 1, 33, 0, 5, 200]];

function offsetsOf(counts: readonly number[]): number[] {
  return [0, ...counts.map((_, e) => counts.slice(0, e + 1).reduce((a, b) => a + b))];
}

/** The experts of each token, largest p first, and p itself. */
function routeOf(x: Float64Array, top: number): { p: Float64Array; chosen: number[] } {
  const max = Math.max(...x);
  const powers = x.map((v) => Math.exp(v - max));
  const sum = powers.reduce((a, b) => a + b);
  const p = powers.map((v) => v / sum);
  const chosen = [...p.keys()].sort((a, b) => p[b] - p[a] || a - b).slice(0, top);
  return { p, chosen };
}

function route(N: number, E: number, top: number, { masked = false, ties = false } = {}): Op {
  const counted = (p: Values[string]) => (n: number) => !masked || p[n] !== 0;
  return {
    title: `N = ${N}, E = ${E}, top = ${top}${masked ? ", masked" : ""}${ties ? ", ties" : ""}`,
    inputs: {
      x: {
        shape: [N, E],
        ...(ties ? { value: (i) => (i * i) % 3 } : {
          gradient: "overwritten" as const,
          value: (i) => ((5 * i + 3 * Math.floor(i / E)) % E) / 8,
        }),
      },
      counted: { shape: [N], type: "i32", value: (n) => n % 3 },
    },
    outputs: {
      p: { shape: [N, E], type: "f32" },
      expert: { shape: [N, top], type: "i32" },
      weight: { shape: [N, top], type: "f32", hasGradient: !ties },
      statistics: { shape: [2, E], type: "f32", hasGradient: !ties },
    },
    reference: (values) => {
      const p = new Float64Array(N * E), statistics = new Float64Array(2 * E);
      const expert = new Float64Array(N * top), weight = new Float64Array(N * top);
      for (let n = 0; n < N; n++) {
        const row = routeOf(values.x.subarray(n * E, n * E + E), top);
        p.set(row.p, n * E);
        const sum = row.chosen.reduce((s, e) => s + row.p[e], 0);
        row.chosen.forEach((e, j) => {
          expert[n * top + j] = e;
          weight[n * top + j] = row.p[e] / sum;
          if (counted(values.counted)(n)) statistics[e]++;
        });
        if (counted(values.counted)(n)) row.p.forEach((v, e) => statistics[E + e] += v);
      }
      return { p, expert, weight, statistics };
    },
    forward: (k, p, t) =>
      k.moeRouteForward(
        p.x,
        masked ? p.counted : null,
        p.p,
        p.expert,
        p.weight,
        p.statistics,
        N,
        E,
        top,
        t,
      ),
    ...(ties ? {} : {
      backward: (k, p, t) =>
        k.moeRouteBackward(
          p.dweight,
          p.p,
          p.expert,
          p.weight,
          masked ? p.counted : null,
          address(p.dstatistics, 4 * E),
          p.dx,
          1,
          N,
          E,
          top,
          t,
        ),
    }),
    slack: 4,
    magnitude: 0.1,
  };
}

testOp("moeRoute matches its formula and gradient for any experts and tokens", function* () {
  for (const [N, E, top] of [[1, 1, 1], [1, 2, 2], [5, 4, 1], [7, 8, 2], [67, 64, 6], [40, 9, 9]]) {
    yield route(N, E, top);
    yield route(N, E, top, { masked: true });
  }
});

testOp("moeRoute takes the lowest of equally probable experts", function* () {
  yield route(9, 8, 2, { ties: true });
  yield route(3, 5, 5, { ties: true });
});

function sort(N: number, E: number, top: number, expertOf: (i: number) => number): Op {
  return {
    title: `N = ${N}, E = ${E}, top = ${top}`,
    inputs: { expert: { shape: [N, top], type: "i32", value: expertOf } },
    outputs: {
      offset: { shape: [E + 1], type: "i32" },
      slot: { shape: [N, top], type: "i32" },
    },
    types: ["f32"],
    reference: ({ expert }) => {
      const pairs = [...expert.keys()].sort((a, b) => expert[a] - expert[b] || a - b);
      const slot = new Float64Array(N * top);
      pairs.forEach((pair, row) => slot[pair] = row);
      const counts = Array.from({ length: E }, (_, e) => expert.filter((x) => x === e).length);
      return { offset: Float64Array.from(offsetsOf(counts)), slot };
    },
    forward: (k, p) => k.moeSort(p.expert, p.offset, p.slot, N, E, top),
  };
}

testOp("moeSort gives each expert its pairs in the order of the tokens", function* () {
  yield sort(1, 1, 1, () => 0);
  yield sort(9, 4, 1, () => 3);
  yield sort(13, 5, 2, (i) => (3 * i + (i >> 2)) % 4);
  yield sort(300, 64, 6, (i) => (i * i * 7 + i) % 61);
  yield sort(700, 300, 3, (i) => (i * i * 7 + i) % 299);
});

/** A permutation of the rows 0..R-1. */
const shuffled = (R: number) => (i: number) => (i * 37 + 5) % R;

function gather(N: number, D: number, top: number): Op {
  const R = N * top;
  return {
    title: `N = ${N}, D = ${D}, top = ${top}`,
    inputs: {
      x: { shape: [N, D], gradient: "added to", gradientType: "storage" },
      slot: { shape: [N, top], type: "i32", value: shuffled(R) },
    },
    outputs: { y: { shape: [R, D], hasGradient: true } },
    reference: ({ x, slot }) => {
      const y = new Float64Array(R * D);
      slot.forEach((row, i) => {
        const n = Math.floor(i / top);
        y.set(x.subarray(n * D, n * D + D), row * D);
      });
      return { y };
    },
    forward: (k, p, t) => k.moeGather(p.x, p.slot, p.y, N, D, top, t),
    backward: (k, p, t) => k.moeCombineForward(p.dy, p.slot, null, p.dx, N, D, top, 1, t),
    slack: 2,
  };
}

testOp("moeGather and its gradient, which is added", function* () {
  for (const [N, D, top] of [[1, 1, 1], [5, 7, 2], [13, 64, 6], [67, 99, 2], [3, 700, 4]]) {
    yield gather(N, D, top);
  }
});

function combine(N: number, D: number, top: number): Op {
  const R = N * top;
  return {
    title: `N = ${N}, D = ${D}, top = ${top}`,
    inputs: {
      x: { shape: [R, D], gradient: "overwritten" },
      slot: { shape: [N, top], type: "i32", value: shuffled(R) },
      weight: { shape: [N, top], type: "f32", gradient: "overwritten", gradientType: "f32" },
    },
    outputs: { y: { shape: [N, D], hasGradient: true } },
    reference: ({ x, slot, weight }) => {
      const y = new Float64Array(N * D);
      slot.forEach((row, i) => {
        const n = Math.floor(i / top);
        for (let d = 0; d < D; d++) y[n * D + d] += weight[i] * x[row * D + d];
      });
      return { y };
    },
    forward: (k, p, t) => k.moeCombineForward(p.x, p.slot, p.weight, p.y, N, D, top, 0, t),
    backward: (k, p, t) =>
      k.moeCombineBackward(p.dy, p.x, p.slot, p.weight, p.dx, p.dweight, N, D, top, t),
    slack: 4,
  };
}

testOp("moeCombine matches its formula and both gradients", function* () {
  for (const [N, D, top] of [[1, 1, 1], [5, 7, 2], [13, 64, 6], [67, 99, 2], [3, 700, 4]]) {
    yield combine(N, D, top);
  }
});

function product(counts: readonly number[], cols: number, inner: number): Op {
  const E = counts.length, offsets = offsetsOf(counts), R = offsets[E];
  return {
    title: `counts = ${counts}, cols = ${cols}, inner = ${inner}`,
    inputs: {
      a: { shape: [R, inner], gradient: "overwritten" },
      b: { shape: [E, cols, inner], gradient: "added to" },
      offset: { shape: [E + 1], type: "i32", value: (e) => offsets[e] },
    },
    outputs: { c: { shape: [R, cols], hasGradient: true } },
    reference: ({ a, b }) => {
      const c = new Float64Array(R * cols);
      counts.forEach((_, e) => {
        for (let r = offsets[e]; r < offsets[e + 1]; r++) {
          for (let j = 0; j < cols; j++) {
            let sum = 0;
            for (let k = 0; k < inner; k++) sum += a[r * inner + k] * b[(e * cols + j) * inner + k];
            c[r * cols + j] = sum;
          }
        }
      });
      return { c };
    },
    forward: (k, p, t) => k.moeGemm(p.a, p.b, p.c, p.offset, R, cols, inner, E, 1, t),
    backward: (k, p, t) => {
      k.moeGemm(p.dc, p.b, p.da, p.offset, R, inner, cols, E, 0, t);
      k.moeGemmWeight(p.dc, p.a, p.db, p.offset, R, cols, inner, E, t);
    },
    slack: 8,
  };
}

testOp("moeGemm matches its formula and gradients whatever rows the experts have", function* () {
  for (const counts of COUNTS) {
    yield product(counts, 9, 7);
    yield product(counts, 64, 32);
  }
});

/** All three products of a layer, each an output of its own, as finite differences would take long. */
function products(counts: readonly number[], cols: number, inner: number): Op {
  const E = counts.length, offsets = offsetsOf(counts), R = offsets[E];
  return {
    title: `all products, counts = ${counts}, cols = ${cols}, inner = ${inner}`,
    inputs: {
      a: { shape: [R, inner] },
      b: { shape: [E, cols, inner] },
      g: { shape: [R, cols] },
      offset: { shape: [E + 1], type: "i32", value: (e) => offsets[e] },
    },
    outputs: {
      c: { shape: [R, cols] },
      ga: { shape: [R, inner] },
      gb: { shape: [E, cols, inner], type: "f32" },
    },
    reference: ({ a, b, g, gb }) => {
      const c = new Float64Array(R * cols), ga = new Float64Array(R * inner);
      counts.forEach((_, e) => {
        for (let r = offsets[e]; r < offsets[e + 1]; r++) {
          for (let j = 0; j < cols; j++) {
            const row = (e * cols + j) * inner, slope = g[r * cols + j];
            for (let k = 0; k < inner; k++) {
              c[r * cols + j] += a[r * inner + k] * b[row + k];
              ga[r * inner + k] += slope * b[row + k];
              gb[row + k] += slope * a[r * inner + k];
            }
          }
        }
      });
      return { c, ga, gb };
    },
    forward: (k, p, t) => {
      k.moeGemm(p.a, p.b, p.c, p.offset, R, cols, inner, E, 1, t);
      k.moeGemm(p.g, p.b, p.ga, p.offset, R, inner, cols, E, 0, t);
      k.moeGemmWeight(p.g, p.a, p.gb, p.offset, R, cols, inner, E, t);
    },
    slack: 8,
  };
}

for (const backend of BACKENDS.filter((name) => name.startsWith("cudaemu"))) {
  Deno.test({
    name: `moeGemm reads its tiles without bank conflicts (${backend})`,
    ignore: !isAvailable(backend),
    fn: () => {
      using context = openContext({ backend, threads: 1 });
      const [R, cols, inner] = [40, 72, 64];
      const [a, b, c] = [R * inner, cols * inner, R * cols].map((n) => context.alloc(4 * n));
      const offset = context.alloc(8), before = countersOf(backend);
      context.upload(offset, Int32Array.of(0, R));
      context.moeGemm(a, b, c, offset, R, cols, inner, 1, 0, 1);
      context.moeGemm(a, b, c, offset, R, cols, inner, 1, 1, 1);
      context.moeGemmWeight(a, a, c, offset, R, inner, 40, 1, 1);
      context.synchronize();
      const after = countersOf(backend);
      assert(after.matrixLoads > before.matrixLoads);
      assertEquals(after.bankConflicts, before.bankConflicts);
    },
  });
}

testOp("moeGemm of more rows, columns and steps than a tile has", function* () {
  yield products([0, 150, 3], 136, 168);
  yield products([131, 1], 67, 163);
});

Deno.test("moe ops refuse sizes and experts that are out of range, and take no tokens", () => {
  using context = openContext({ threads: 1 });
  const [a, b, c, d] = Array.from({ length: 4 }, () => context.alloc(64));
  context.upload(a, Int32Array.of(0, 4));
  const route = (N: number, E: number, top: number) =>
    context.moeRouteForward(b, null, c, a, d, null, N, E, top, 0);
  assertThrows(() => route(1, 2, 3), Error, "top must be in 1..E with E = 2, found 3");
  assertThrows(() => route(1, 1025, 1), Error, "E must be in 1..1024, found 1025");
  assertThrows(() => context.moeSort(a, b, c, 2, 4, 1), Error, "expert must be in 0..E-1");
  const gemm = (R: number) => context.moeGemm(b, c, d, a, R, 1, 1, 1, 1, 0);
  assertThrows(() => gemm(3), Error, "offset must go from 0 to R = 3, found 0 to 4");
  route(0, 4, 2);
  context.moeSort(a, b, c, 0, 4, 2);
  gemm(0);
});

Deno.test("moeRoute gives a token different experts although its logits are nan", () => {
  using context = openContext({ threads: 1 });
  const [x, p, expert, weight] = Array.from({ length: 4 }, () => context.alloc(64));
  context.upload(x, new Float32Array(4).fill(NaN));
  context.moeRouteForward(x, null, p, expert, weight, null, 1, 4, 3, 0);
  const chosen = new Int32Array(3);
  context.download(chosen, expert);
  assertEquals([...chosen], [0, 1, 2]);
});
