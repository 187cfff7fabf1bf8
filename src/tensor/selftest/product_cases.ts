/** Ops that are products of matrices: linear layers, attention, experts. @module */
import type { Kernels } from "../../../ffi/kernels.ts";
import {
  kept,
  type KernelCase,
  type Operand,
  type Pointers,
  read,
  updated,
  written,
} from "./kernel_case.ts";
import type { Sizes } from "./sizes.ts";

const F32 = 0; // lp_dtype
const [FLASH, REFERENCE] = [0, 1]; // algorithms of attention

/** The products of a linear layer [F, D], with and without a bias, and one per sequence. */
export function gemmCases({ B, S, D, F }: Sizes): KernelCase[] {
  const N = B * S, flops = 2 * N * D * F, slack = 4;
  return [
    {
      op: "gemm",
      sizes: `y [${N}, ${F}] = x w^T, inner ${D}`,
      operands: { x: read([N, D]), w: read([F, D]), y: written([N, F]) },
      run: (k, p, t) => k.gemm(p.x, p.w, p.y, N, F, D, D, D, F, 0, 1, 1, 0, 0, 0, 1, 0, t, t),
      flops,
      slack,
    },
    {
      op: "linearForward",
      sizes: `y [${N}, ${F}] = x w^T + b, inner ${D}`,
      operands: { x: read([N, D]), w: read([F, D]), b: read([F]), y: written([N, F]) },
      run: (k, p, t) => k.linearForward(p.x, p.w, p.b, p.y, N, D, F, t),
      flops,
      slack,
    },
    {
      op: "gemm",
      sizes: `dx [${N}, ${D}] = dy w, inner ${F}`,
      operands: { dy: read([N, F]), w: read([F, D]), dx: written([N, D]) },
      run: (k, p, t) => k.gemm(p.dy, p.w, p.dx, N, D, F, F, D, D, 0, 0, 1, 0, 0, 0, 1, 0, t, t),
      flops,
      slack,
    },
    {
      op: "gemm",
      sizes: `dw [${F}, ${D}] f32 += dy^T x, inner ${N}`,
      operands: { dy: read([N, F]), x: read([N, D]), dw: updated([F, D]) },
      run: (k, p, t) => k.gemm(p.dy, p.x, p.dw, F, D, N, F, D, D, 1, 0, 1, 0, 0, 0, 1, 1, t, F32),
      flops,
      slack,
    },
    {
      op: "gemm",
      sizes: `${B} times [${S}, ${F}], inner ${D}`,
      operands: { x: read([N, D]), w: read([F, D]), y: written([N, F]) },
      run: (k, p, t) =>
        // deno-fmt-ignore
        k.gemm(p.x, p.w, p.y, S, F, D, D, D, F, 0, 1, B, S * D, 0, S * F, 0.5, 0, t, t),
      flops,
      slack,
    },
  ];
}

/** Causal attention in both algorithms, forward and backward, and one query of many keys. */
export function attentionCases({ B, S, H, G, K }: Sizes): KernelCase[] {
  const scale = 1 / Math.sqrt(K), pairs = B * H * S * (S + 1) / 2;
  const perHead = read([H], { type: "f32", value: (h) => 2 ** -(h + 1) });
  const sizes = `[${B}, ${S}, ${H} of ${G}, ${K}]`;
  const q = read([B, S, H, K]), kv = read([B, S, G, K]);
  const seen = {
    begin: read([B, S], { type: "i32", value: 0 }),
    end: read([B, S], { type: "i32", value: (i) => i % S + 1 }),
  };
  const lse = (use: typeof written) => use([B, H, S], { type: "f32" });
  const forward = (slope: boolean, algorithm: number) => (k: Kernels, p: Pointers, t: number) =>
    // deno-fmt-ignore
    k.attentionForward(p.q, p.k, p.v, p.begin, p.end, slope ? p.slope : null, p.o, p.lse, B, S, S, H,
      G, K, H * K, G * K, S * G * K, H * K, scale, 0, 0n, algorithm, t);
  const kinds = [
    { slope: false, algorithm: FLASH, title: "" },
    { slope: true, algorithm: FLASH, title: ", ALiBi" },
    { slope: false, algorithm: REFERENCE, title: ", reference" },
  ];
  return [
    ...kinds.map(({ slope, algorithm, title }): KernelCase => ({
      op: "attentionForward",
      sizes: sizes + title,
      operands: {
        q,
        k: kv,
        v: kv,
        ...seen,
        slope: perHead,
        o: written([B, S, H, K]),
        lse: lse(written),
      },
      run: forward(slope, algorithm),
      flops: 4 * pairs * K,
      slack: 4,
    })),
    ...kinds.map(({ slope, algorithm, title }): KernelCase => ({
      op: "attentionBackward",
      sizes: sizes + title,
      operands: {
        do: q,
        q,
        k: kv,
        v: kv,
        ...seen,
        slope: perHead,
        o: kept([B, S, H, K]),
        lse: lse(kept),
        dq: written([B, S, H, K]),
        dk: written([B, S, G, K]),
        dv: written([B, S, G, K]),
      },
      prepare: forward(slope, algorithm),
      run: (k, p, t) =>
        // deno-fmt-ignore
        k.attentionBackward(p.do, p.q, p.k, p.v, p.o, p.lse, p.begin, p.end, slope ? p.slope : null, p.dq,
          p.dk, p.dv, B, S, S, H, G, K, H * K, G * K, S * G * K, H * K, H * K, G * K, S * G * K, scale, 0,
          0n, algorithm, t),
      flops: 10 * pairs * K,
      slack: 8,
    })),
    {
      op: "attentionForward",
      sizes: `[${B}, 1 of ${S}, ${H} of ${G}, ${K}]`,
      operands: {
        q: read([B, 1, H, K]),
        k: kv,
        v: kv,
        begin: read([B], { type: "i32", value: 0 }),
        end: read([B], { type: "i32", value: S }),
        o: written([B, 1, H, K]),
      },
      run: (k, p, t) =>
        // deno-fmt-ignore
        k.attentionForward(p.q, p.k, p.v, p.begin, p.end, null, p.o, null, B, 1, S, H, G, K, H * K, G * K,
          S * G * K, H * K, scale, 0, 0n, FLASH, t),
      slack: 4,
    },
  ];
}

/** Routing of tokens to experts, and the products of the experts. */
export function expertCases({ B, S, D, F, E, top }: Sizes): KernelCase[] {
  const N = B * S, R = N * top, flops = 2 * R * D * F;
  const i32 = { type: "i32" } as const, f32 = { type: "f32" } as const;
  const rows = `[${R}, ${D}]`, routes = `[${N}, ${E}], ${top} each`;
  // Token n goes to experts n, n + 1 ..; most go to the first few, and some experts may have none
  const expert = read([N, top], {
    ...i32,
    value: (i) => (Math.floor(i / top) * Math.floor(i / top) + i % top) % E,
  });
  const slot = kept([N, top], i32), offset = kept([E + 1], i32);
  const sort = (k: Kernels, p: Pointers) => k.moeSort(p.expert, p.offset, p.slot, N, E, top);
  const sorted = { expert, offset, slot };
  const route = (use: typeof written): Record<string, Operand> => ({
    x: read([N, E]),
    p: use([N, E], f32),
    expert: use([N, top], i32),
    weight: use([N, top], f32),
    statistics: use([2, E], f32),
  });
  const weight = read([N, top], { ...f32, value: (i) => 1 / (2 + i % 5) });
  return [
    {
      op: "moeRouteForward",
      sizes: routes,
      operands: route(written),
      run: (k, p, t) =>
        k.moeRouteForward(p.x, null, p.p, p.expert, p.weight, p.statistics, N, E, top, t),
      slack: 8,
    },
    {
      op: "moeRouteBackward",
      sizes: routes,
      operands: {
        ...route(kept),
        dweight: read([N, top], f32),
        balance: read([E], f32),
        dx: written([N, E]),
      },
      prepare: (k, p, t) =>
        k.moeRouteForward(p.x, null, p.p, p.expert, p.weight, p.statistics, N, E, top, t),
      run: (k, p, t) =>
        // deno-fmt-ignore
        k.moeRouteBackward(p.dweight, p.p, p.expert, p.weight, null, p.balance, p.dx, 0.5, N, E, top, t),
      slack: 8,
    },
    {
      op: "moeSort",
      sizes: routes,
      operands: { expert, offset: written([E + 1], i32), slot: written([N, top], i32) },
      run: sort,
      types: ["f32"],
    },
    {
      op: "moeGather",
      sizes: rows,
      operands: { ...sorted, x: read([N, D]), y: written([R, D]) },
      prepare: sort,
      run: (k, p, t) => k.moeGather(p.x, p.slot, p.y, N, D, top, t),
    },
    {
      op: "moeCombineForward",
      sizes: rows,
      operands: { ...sorted, x: read([R, D]), weight, y: written([N, D]) },
      prepare: sort,
      run: (k, p, t) => k.moeCombineForward(p.x, p.slot, p.weight, p.y, N, D, top, 0, t),
      slack: 2,
    },
    {
      op: "moeCombineBackward",
      sizes: rows,
      operands: {
        ...sorted,
        dy: read([N, D]),
        x: read([R, D]),
        weight,
        dx: written([R, D]),
        dweight: written([N, top], f32),
      },
      prepare: sort,
      run: (k, p, t) =>
        k.moeCombineBackward(p.dy, p.x, p.slot, p.weight, p.dx, p.dweight, N, D, top, t),
      slack: 8,
    },
    ...[0, 1].map((transB): KernelCase => ({
      op: "moeGemm",
      sizes: `${rows} times ${E} of ${transB ? `[${F}, ${D}]^T` : `[${D}, ${F}]`}`,
      operands: { ...sorted, a: read([R, D]), b: read([E, D, F]), c: written([R, F]) },
      prepare: sort,
      run: (k, p, t) => k.moeGemm(p.a, p.b, p.c, p.offset, R, F, D, E, transB, t),
      flops,
      slack: 4,
    })),
    {
      op: "moeGemmWeight",
      sizes: `${E} of [${D}, ${F}], ${R} rows`,
      operands: { ...sorted, a: read([R, D]), b: read([R, F]), c: updated([E, D, F]) },
      prepare: sort,
      run: (k, p, t) => k.moeGemmWeight(p.a, p.b, p.c, p.offset, R, D, F, E, t),
      flops,
      slack: 4,
    },
  ];
}
