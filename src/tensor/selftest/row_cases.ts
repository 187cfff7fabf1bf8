/** Ops on rows, which memory limits: norms, positions, activations, embedding, loss. @module */
import { kept, type KernelCase, read, updated, written } from "./kernel_case.ts";
import type { Sizes } from "./sizes.ts";

const EPS = 1e-5;

/** Norms over D, and the gradient of a bias. */
export function normCases({ B, S, D }: Sizes): KernelCase[] {
  const N = B * S, sizes = `[${N}, ${D}]`;
  const x = read([N, D]), w = read([D]), y = written([N, D]);
  const perRow = { type: "f32" } as const;
  return [
    {
      op: "rmsNormForward",
      sizes,
      operands: { x, w, y, r: written([N], perRow) },
      run: (k, p, t) => k.rmsNormForward(p.x, null, p.w, null, p.y, p.r, N, D, EPS, t),
      slack: 2,
    },
    {
      op: "rmsNormForward",
      sizes: `${sizes} + residual`,
      operands: { x, residual: x, w, sum: y, y, r: kept([N], perRow) }, // r is of the rounded sum
      run: (k, p, t) => k.rmsNormForward(p.x, p.residual, p.w, p.sum, p.y, p.r, N, D, EPS, t),
      slack: 2,
    },
    {
      op: "rmsNormBackward",
      sizes,
      operands: { dy: x, x, w, r: kept([N], perRow), before: x, dx: y, dw: updated([D]) },
      prepare: (k, p, t) => k.rmsNormForward(p.x, null, p.w, null, p.dx, p.r, N, D, EPS, t),
      run: (k, p, t) => k.rmsNormBackward(p.dy, p.x, p.w, p.r, p.before, p.dx, p.dw, N, D, t),
      slack: 4,
    },
    {
      op: "layerNormForward",
      sizes,
      operands: { x, w, b: w, y, mean: written([N], perRow), r: written([N], perRow) },
      run: (k, p, t) =>
        k.layerNormForward(p.x, null, p.w, p.b, null, p.y, p.mean, p.r, N, D, EPS, t),
      slack: 4,
    },
    {
      op: "layerNormForward",
      sizes: `${sizes} + residual`,
      operands: {
        x,
        residual: x,
        w,
        b: w,
        sum: y,
        y,
        mean: kept([N], perRow),
        r: kept([N], perRow),
      },
      run: (k, p, t) =>
        // deno-fmt-ignore
        k.layerNormForward(p.x, p.residual, p.w, p.b, p.sum, p.y, p.mean, p.r, N, D, EPS, t),
      slack: 4,
    },
    {
      op: "layerNormBackward",
      sizes,
      operands: {
        dy: x,
        x,
        w,
        mean: kept([N], perRow),
        r: kept([N], perRow),
        before: x,
        dx: y,
        dw: updated([D]),
        db: updated([D]),
      },
      prepare: (k, p, t) =>
        k.layerNormForward(p.x, null, p.w, p.w, null, p.dx, p.mean, p.r, N, D, EPS, t),
      run: (k, p, t) =>
        // deno-fmt-ignore
        k.layerNormBackward(p.dy, p.x, p.w, p.mean, p.r, p.before, p.dx, p.dw, p.db, N, D, t),
      slack: 8,
    },
    {
      op: "rowNormalizeForward",
      sizes,
      operands: { x, y, r: written([N], perRow) },
      run: (k, p, t) => k.rowNormalizeForward(p.x, p.y, p.r, N, D, 1e-12, t),
    },
    {
      op: "rowNormalizeBackward",
      sizes,
      operands: {
        dy: read([N, D], perRow),
        x,
        y: kept([N, D]),
        r: kept([N], perRow),
        dx: updated([N, D]),
      },
      prepare: (k, p, t) => k.rowNormalizeForward(p.x, p.y, p.r, N, D, 1e-12, t),
      run: (k, p, t) => k.rowNormalizeBackward(p.dy, p.x, p.r, p.dx, N, D, 1e-12, t),
      slack: 8,
    },
    {
      op: "biasBackward",
      sizes,
      operands: { dy: x, db: updated([D]) },
      run: (k, p, t) => k.biasBackward(p.dy, p.db, N, D, t),
      slack: 4,
    },
  ];
}

/** Rotary positions and the activations of the MLP. */
export function layerCases({ B, S, F, H, K }: Sizes): KernelCase[] {
  const N = B * S, half = K / 2;
  const table = (use: typeof written) => use([S, half], { type: "f32" });
  const ofPosition = { type: "f32", value: (i: number) => 10000 ** (-i / half) } as const;
  const frequency = read([half], ofPosition);
  const wide = read([N, 2 * F]), narrow = [N, F], n = N * F, sizes = `[${N}, ${F}]`;
  return [
    {
      op: "ropeTable",
      sizes: `[${S}, ${half}]`,
      operands: { frequency, cos: table(written), sin: table(written) },
      run: (k, p) => k.ropeTable(p.frequency, p.cos, p.sin, S, half, 1),
      types: ["f32"],
      slack: 8,
    },
    ...[0, 1].map((layout): KernelCase => ({
      op: "rope",
      sizes: `[${N}, ${H}, ${K}], layout ${layout}`,
      operands: {
        x: updated([N, H, K], { type: "storage" }),
        position: read([N], { type: "i32", value: (i) => i % S }),
        frequency,
        cos: table(kept),
        sin: table(kept),
      },
      prepare: (k, p) => k.ropeTable(p.frequency, p.cos, p.sin, S, half, 1),
      run: (k, p, t) => k.rope(p.x, p.position, p.cos, p.sin, N, H, K, K, H * K, S, layout, 1, t),
      slack: 8,
    })),
    {
      op: "swigluForward",
      sizes,
      operands: { x: wide, y: written(narrow) },
      run: (k, p, t) => k.swigluForward(p.x, p.y, N, F, t),
    },
    {
      op: "swigluBackward",
      sizes,
      operands: { dy: read(narrow), x: wide, dx: written([N, 2 * F]) },
      run: (k, p, t) => k.swigluBackward(p.dy, p.x, p.dx, N, F, t),
      slack: 2,
    },
    {
      op: "geluForward",
      sizes,
      operands: { x: read(narrow), y: written(narrow) },
      run: (k, p, t) => k.geluForward(p.x, p.y, n, t),
      slack: 2,
    },
    {
      op: "geluBackward",
      sizes,
      operands: { dy: read(narrow), x: read(narrow), dx: written(narrow) },
      run: (k, p, t) => k.geluBackward(p.dy, p.x, p.dx, n, t),
      slack: 2,
    },
  ];
}

/** Embedding, loss and choice of tokens, over the vocabulary. */
export function vocabularyCases({ B, S, D, V }: Sizes): KernelCase[] {
  const N = B * S;
  const id = read([N], { type: "i32", value: (i) => (i * i + 3 * i) % V });
  const perRow = { type: "f32" } as const;
  const sizes = `[${N}, ${D}] of ${V}`;
  return [
    {
      op: "embeddingForward",
      sizes,
      operands: { id, w: read([V, D]), y: written([N, D]) },
      run: (k, p, t) => k.embeddingForward(p.id, p.w, p.y, N, D, V, t),
    },
    {
      op: "embeddingBackward",
      sizes,
      operands: { id, dy: read([N, D]), dw: updated([V, D]) },
      run: (k, p, t) => k.embeddingBackward(p.id, p.dy, p.dw, N, D, V, -1, t),
      slack: 4,
    },
    {
      op: "crossEntropy",
      sizes: `[${N}, ${V}]`,
      operands: {
        x: read([N, V]),
        target: read([N], { type: "i32", value: (i) => i % 3 === 2 ? -100 : (7 * i) % V }),
        loss: written([N], perRow),
        z: written([N], perRow),
        zScale: read([N], { ...perRow, value: 0.01 }),
        dx: written([N, V]),
      },
      run: (k, p, t) =>
        // deno-fmt-ignore
        k.crossEntropy(p.x, p.target, p.loss, p.z, p.zScale, null, null, p.dx, N, V, 1, t, t),
      slack: 8,
    },
    ...[{ temperature: 0, top: 0, p: 1 }, { temperature: 0.7, top: 20, p: 0.9 }].map((
      { temperature, top, p: share },
    ): KernelCase => ({
      op: "sample",
      sizes: `[${B}, ${V}], temperature ${temperature}`,
      operands: {
        x: read([B, V], perRow),
        u: read([B], { type: "f64", value: (i) => (0.618 * (i + 1)) % 1 }),
        token: written([B], { type: "i32" }),
      },
      run: (k, p) => k.sample(p.x, p.u, p.token, B, V, temperature, top, share),
      types: ["f32"],
    })),
  ];
}
