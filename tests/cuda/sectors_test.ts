/**
 * What the kernels move is what they use: of the 32-byte sectors that they read and write of their
 * large arrays, at least 90 % is asked for. Counted by the race build of the emulation.
 * @module
 */
import { assert } from "@std/assert";
import { type Context, openContext } from "../../ffi/context.ts";
import { BACKENDS, isAvailable } from "../ops/check_op.ts";
import { type Element, fromNumbers } from "../ops/element.ts";
import { countSectors, type Sectors, sectorsOf } from "../ops/emulation.ts";

const LEAST = 0.9;
const N = 6, D = 1000, F = 520, V = 1032, HEADS = 4, K = 64, TOKENS = 70;
const CODES = { f32: 0, bf16: 1 };

/** Arrays of a kernel: their lengths in elements of the storage type, or with a type of their own. */
type Arrays = Record<string, number | [number, Element]>;
type Addresses = Record<string, Deno.PointerObject>;

/** One kernel, the large arrays it streams, and the small ones. */
interface Stream {
  name: string;
  large: Arrays;
  small?: Arrays;
  call(context: Context, p: Addresses, dtype: number): void;
  types?: readonly ("bf16" | "f32")[];
}

const i32 = (n: number): [number, Element] => [n, "i32"];
const f32 = (n: number): [number, Element] => [n, "f32"];
const ROWS = TOKENS * HEADS * K;

const STREAMS: Stream[] = [
  {
    name: "rmsNorm",
    large: { x: N * D, y: N * D, dy: N * D, dx: N * D, w: D },
    small: { r: f32(N), dw: f32(D) },
    call: (c, { x, y, dy, dx, w, r, dw }, dtype) => {
      c.rmsNormForward(x, null, w, null, y, r, N, D, 1e-6, dtype);
      c.rmsNormBackward(dy, x, w, r, null, dx, dw, N, D, dtype);
    },
  },
  {
    name: "layerNorm, with a residual",
    large: { x: N * D, residual: N * D, sum: N * D, y: N * D, dy: N * D, dx: N * D, w: D, b: D },
    small: { mean: f32(N), r: f32(N), dw: f32(D), db: f32(D) },
    call: (c, { x, residual, sum, y, dy, dx, w, b, mean, r, dw, db }, dtype) => {
      c.layerNormForward(x, residual, w, b, sum, y, mean, r, N, D, 1e-6, dtype);
      c.layerNormBackward(dy, sum, w, mean, r, dy, dx, dw, db, N, D, dtype);
    },
  },
  {
    name: "swiglu",
    large: { x: 2 * N * F, y: N * F, dy: N * F, dx: 2 * N * F },
    call: (c, { x, y, dy, dx }, dtype) => {
      c.swigluForward(x, y, N, F, dtype);
      c.swigluBackward(dy, x, dx, N, F, dtype);
    },
  },
  {
    name: "gelu",
    large: { x: N * F, y: N * F, dy: N * F, dx: N * F },
    call: (c, { x, y, dy, dx }, dtype) => {
      c.geluForward(x, y, N * F, dtype);
      c.geluBackward(dy, x, dx, N * F, dtype);
    },
  },
  ...[0, 1].map((layout): Stream => ({
    name: `rope, layout ${layout}`,
    large: { x: N * HEADS * K },
    small: { position: i32(N), cos: f32(N * K / 2), sin: f32(N * K / 2) },
    call: (c, { x, position, cos, sin }, dtype) =>
      c.rope(x, position, cos, sin, N, HEADS, K, K, HEADS * K, N, layout, 1, dtype),
  })),
  {
    name: "embedding",
    large: { w: 8 * D, y: N * D, dy: N * D, dw: f32(8 * D) },
    small: { id: i32(N) },
    call: (c, { id, w, y, dy, dw }, dtype) => {
      c.embeddingForward(id, w, y, N, D, 8, dtype);
      c.embeddingBackward(id, dy, dw, N, D, 8, -1, dtype);
    },
  },
  {
    name: "crossEntropy",
    large: { x: N * V, dx: N * V },
    small: { target: i32(N), loss: f32(N) },
    call: (c, { x, target, loss, dx }, dtype) =>
      c.crossEntropy(x, target, loss, null, null, null, null, dx, N, V, 1, dtype, dtype),
  },
  {
    name: "adamw",
    large: { grad: f32(N * F), p: f32(N * F), m: f32(N * F), v: f32(N * F), w: N * F },
    call: (c, { grad, p, m, v, w }, dtype) =>
      c.adamw(grad, p, m, v, w, N * F, 1, 1e-3, 0.9, 0.99, 1e-8, 0.1, 0.1, 0.01, dtype),
  },
  {
    name: "lion",
    large: { grad: f32(N * F), p: f32(N * F), m: f32(N * F), w: N * F },
    call: (c, { grad, p, m, w }, dtype) =>
      c.lion(grad, p, m, w, N * F, 1, 1e-3, 0.9, 0.99, 0.1, 0, dtype),
  },
  {
    name: "cast to and from f32",
    large: { x: N * F, y: f32(N * F), z: N * F },
    call: (c, { x, y, z }, dtype) => {
      c.cast(y, x, N * F, 0, dtype);
      c.cast(z, y, N * F, dtype, 0);
    },
  },
  {
    name: "add, scale, fill, sumSquares",
    large: { a: N * F, b: N * F, y: N * F, z: N * F },
    small: { sum: [1, "f64"] },
    call: (c, { a, b, y, z, sum }, dtype) => {
      c.add(a, b, y, N * F, dtype);
      c.scale(y, 2, N * F, dtype);
      c.fill(z, 2, N * F, dtype);
      c.sumSquares(z, sum, N * F, dtype);
    },
  },
  {
    name: "attention in tiles",
    large: { q: ROWS, k: ROWS, v: ROWS, o: ROWS, dO: ROWS, dq: ROWS, dk: ROWS, dv: ROWS },
    small: { begin: i32(TOKENS), end: i32(TOKENS), lse: f32(TOKENS * HEADS) },
    types: ["bf16"],
    call: (c, { q, k, v, o, dO, dq, dk, dv, begin, end, lse }, dtype) => {
      const heads = [1, TOKENS, TOKENS, HEADS, HEADS, K] as const;
      const W = HEADS * K;
      c.attentionForward(
        ...[q, k, v, begin, end, null, o, lse, ...heads, W, W, ROWS, W] as const,
        ...[0.125, 0, 1n, 0, dtype] as const,
      );
      c.attentionBackward(
        ...[dO, q, k, v, o, lse, begin, end, null, dq, dk, dv, ...heads] as const,
        ...[W, W, ROWS, W, W, W, ROWS, 0.125, 0, 1n, 0, dtype] as const,
      );
    },
  },
];

/** Values that every kernel accepts in an array of this name. */
function valueOf(name: string, i: number): number {
  switch (name) {
    case "end":
      return i + 1;
    case "begin":
      return 0;
    case "id":
    case "position":
    case "target":
      return i % 6;
    case "v":
      return 0.5;
    default:
      return Math.sin(i);
  }
}

for (const backend of BACKENDS.filter((name) => name === "cudaemu_race")) {
  for (const { name, large, small = {}, call, types = ["bf16", "f32"] as const } of STREAMS) {
    Deno.test({
      name: `${name} uses what it moves (${backend})`,
      ignore: !isAvailable(backend),
      fn: () => {
        using context = openContext({ backend });
        for (const type of types) {
          const p: Addresses = {};
          for (const [array, shape] of Object.entries({ ...large, ...small })) {
            const [length, as]: [number, Element] = typeof shape === "number"
              ? [shape, type]
              : shape;
            const values = fromNumbers(
              Float64Array.from({ length }, (_, i) => valueOf(array, i)),
              as,
            );
            p[array] = context.alloc(values.byteLength);
            context.upload(p[array], values);
          }
          context.synchronize();
          countSectors(backend, true);
          call(context, p, CODES[type]);
          context.synchronize();
          countSectors(backend, false);
          for (const array of Object.keys(large)) {
            expectUsed(`${name}, ${type}: ${array}`, sectorsOf(backend, p[array]!));
          }
          Object.values(p).forEach((block) => context.free(block));
        }
      },
    });
  }
}

function expectUsed(where: string, { read, written }: Sectors): void {
  assert(read.moved + written.moved > 0, `${where} is neither read nor written`);
  for (const [way, { moved, used }] of Object.entries({ read, written })) {
    const share = moved === 0 ? 1 : used / moved;
    assert(
      share >= LEAST,
      `${where}: ${
        (share * 100).toFixed(1)
      } % of the sectors ${way} is used, ${used} of ${moved} bytes`,
    );
  }
}
