/** Ops on elements, in whatever shape they are: copies, casts, int8, optimizers. @module */
import { kept, type KernelCase, read, updated, written } from "./kernel_case.ts";
import type { Sizes } from "./sizes.ts";

const F32 = 0; // lp_dtype

/** Copies, casts and the like, of [N, D]. */
export function elementCases({ B, S, D }: Sizes): KernelCase[] {
  const N = B * S, n = N * D, sizes = `[${N}, ${D}]`;
  const x = read([n]), y = written([n]);
  return [
    { op: "fill", sizes, operands: { y }, run: (k, p, t) => k.fill(p.y, -1.5, n, t) },
    {
      op: "copy",
      sizes,
      operands: { x: read([n], { type: "f32" }), y: written([n], { type: "f32" }) },
      run: (k, p) => k.copy(p.y, p.x, 4 * n),
      types: ["f32"],
    },
    {
      op: "zero",
      sizes,
      operands: { y: written([n], { type: "f32" }) },
      run: (k, p) => k.zero(p.y, 4 * n),
      types: ["f32"],
    },
    {
      op: "copyRows",
      sizes: `${sizes} out of [${N}, ${2 * D}]`,
      operands: { x: read([2 * n], { type: "f32" }), y: written([n], { type: "f32" }) },
      run: (k, p) => k.copyRows(p.y, p.x, N, 4 * D, 4 * D, 8 * D),
      types: ["f32"],
    },
    {
      op: "cast",
      sizes: `${sizes} to f32`,
      operands: { x, y: written([n], { type: "f32" }) },
      run: (k, p, t) => k.cast(p.y, p.x, n, F32, t),
    },
    {
      op: "cast",
      sizes: `${sizes} from f32`,
      operands: { x: read([n], { type: "f32" }), y },
      run: (k, p, t) => k.cast(p.y, p.x, n, t, F32),
    },
    { op: "add", sizes, operands: { a: x, b: x, y }, run: (k, p, t) => k.add(p.a, p.b, p.y, n, t) },
    {
      op: "scale",
      sizes,
      operands: { x: updated([n], { type: "storage" }) },
      run: (k, p, t) => k.scale(p.x, -1, n, t),
    },
    {
      op: "randomNormal",
      sizes,
      operands: { y },
      run: (k, p, t) => k.randomNormal(p.y, n, 0x123456789abcdn, 5n, 0.5, 2, t),
    },
    {
      op: "dropout",
      sizes,
      operands: { x, y },
      run: (k, p, t) => k.dropout(p.x, p.y, n, 0.3, 77n, t),
    },
    {
      op: "sumSquares",
      sizes,
      operands: { x, out: written([1], { type: "f64" }) },
      run: (k, p, t) => k.sumSquares(p.x, p.out, n, t),
    },
  ];
}

/** Blocks of int8 and back, of [N, D]. */
export function quantizeCases({ B, S, D }: Sizes): KernelCase[] {
  const n = B * S * D, block = Math.min(256, n), sizes = `[${n}] in blocks of ${block}`;
  const x = read([n]), q = [n], scale = [Math.ceil(n / block)];
  return [
    {
      op: "quantizeInt8",
      sizes,
      operands: { x, q: written(q, { type: "u8" }), scale: written(scale, { type: "f32" }) },
      run: (k, p, t) => k.quantizeInt8(p.x, p.q, p.scale, n, block, t),
    },
    {
      op: "dequantizeInt8",
      sizes,
      operands: {
        x,
        q: kept(q, { type: "u8" }),
        scale: kept(scale, { type: "f32" }),
        y: written([n]),
      },
      prepare: (k, p, t) => k.quantizeInt8(p.x, p.q, p.scale, n, block, t),
      run: (k, p, t) => k.dequantizeInt8(p.q, p.scale, p.y, n, block, t),
    },
  ];
}

/** Steps of the optimizers over D F parameters. */
export function optimizerCases({ D, F }: Sizes): KernelCase[] {
  const n = D * F, sizes = `[${n}]`;
  const grad = read([n], { type: "f32" }), w = written([n]), state = updated([n]);
  return [
    {
      op: "adamw",
      sizes,
      operands: { grad, p: state, m: state, v: updated([n], { value: 0.5 }), w },
      run: (k, p, t) =>
        // deno-fmt-ignore
        k.adamw(p.grad, p.p, p.m, p.v, p.w, n, 0.5, 1e-3, 0.9, 0.95, 1e-8, 0.1, 0.19, 0.0975, t),
      slack: 2,
    },
    {
      op: "lion",
      sizes,
      operands: { grad, p: state, m: state, w },
      run: (k, p, t) => k.lion(p.grad, p.p, p.m, p.w, n, 0.5, 1e-4, 0.9, 0.99, 0.1, 0, t),
      slack: 2,
    },
  ];
}
