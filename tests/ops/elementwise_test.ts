/** Fills, casts, sums and random numbers against float64. @module */
import { assert, assertEquals } from "@std/assert";
import { type Context, openContext } from "../../ffi/context.ts";
import { type Op, SIZES, testOp, TYPES } from "./check_op.ts";
import { type Element, fromNumbers, toNumbers } from "./element.ts";

const CODE = { f32: 0, bf16: 1, f16: 2 } as const;

testOp("fill, scale and add match their formulas on every length", function* () {
  for (const n of [...SIZES, 20_000]) {
    const elementwise: Omit<Op, "title" | "forward" | "reference"> = {
      inputs: { a: { shape: [n] }, b: { shape: [n] } },
      outputs: { y: { shape: [n] } },
    };
    yield {
      ...elementwise,
      title: `fill, n = ${n}`,
      reference: ({ y }) => ({ y: y.fill(1.25) }),
      forward: (k, p, t) => k.fill(p.y, 1.25, n, t),
    };
    yield {
      ...elementwise,
      title: `scale, n = ${n}`,
      reference: ({ y }) => ({ y: y.map((v) => v * -0.3) }),
      forward: (k, p, t) => k.scale(p.y, -0.3, n, t),
    };
    yield {
      ...elementwise,
      title: `add, n = ${n}`,
      reference: ({ a, b }) => ({ y: a.map((v, i) => v + b[i]) }),
      forward: (k, p, t) => k.add(p.a, p.b, p.y, n, t),
    };
    yield {
      ...elementwise,
      title: `add in place, n = ${n}`,
      reference: ({ y, b }) => ({ y: y.map((v, i) => v + b[i]) }),
      forward: (k, p, t) => k.add(p.y, p.b, p.y, n, t),
    };
  }
});

testOp("sumSquares adds in f64", function* () {
  for (const n of [...SIZES, 200_001]) {
    yield {
      title: `n = ${n}`,
      inputs: { x: { shape: [n] } },
      outputs: { sum: { shape: [1], type: "f64" } },
      reference: ({ x }) => ({ sum: Float64Array.of(x.reduce((sum, v) => sum + v * v, 0)) }),
      forward: (k, p, t) => k.sumSquares(p.x, p.sum, n, t),
      slack: 1e-6, // 1e-12 relative
    };
  }
});

testOp("copyRows and zero touch what they name and nothing else", function* () {
  yield {
    title: "3 rows of 5",
    inputs: { x: { shape: [3, 9] } },
    outputs: { y: { shape: [3, 7] } },
    reference: ({ x, y }) => ({
      y: y.map((v, i) => i % 7 < 5 ? x[Math.floor(i / 7) * 9 + i % 7] : v).fill(0, 20),
    }),
    forward: (k, p, t) => {
      const size = t === 0 ? 4 : 2;
      k.zero(p.y, 21 * size);
      k.copyRows(p.y, p.x, 3, 5 * size, 7 * size, 9 * size);
      k.zero(p.y, 0);
    },
    types: [],
  };
});

function cast(context: Context, from: ArrayBufferView<ArrayBuffer>, source: Element, to: Element) {
  const n = from.byteLength / (source === "f32" ? 4 : 2);
  const out = fromNumbers(new Float64Array(n), to);
  const [src, dst] = [context.alloc(from.byteLength), context.alloc(out.byteLength)];
  context.upload(src, from);
  context.cast(dst, src, n, CODE[to as keyof typeof CODE], CODE[source as keyof typeof CODE]);
  context.download(out, dst);
  context.free(src);
  context.free(dst);
  return out;
}

const ALL_HALVES = Uint16Array.from({ length: 65536 }, (_, i) => i);

for (const type of ["bf16", "f16"] as const) {
  Deno.test(`cast() from ${type} gives every value exactly, and back gives its bits`, () => {
    using context = openContext({ threads: 2 });
    const wide = cast(context, ALL_HALVES, type, "f32");
    assertEquals(Float64Array.from(wide), toNumbers(ALL_HALVES, type));
    const back = cast(context, wide, "f32", type);
    ALL_HALVES.forEach((bits, i) => {
      if (Number.isNaN(wide[i])) assert(Number.isNaN(toNumbers(back.slice(i, i + 1), type)[0]));
      else assertEquals(back[i], bits);
    });
  });

  Deno.test(`cast() to ${type} rounds to nearest even`, () => {
    using context = openContext({ threads: 2 });
    const bits = new Uint32Array(300_000);
    let state = 1;
    for (let i = 0; i < bits.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      bits[i] = state;
    }
    const exact = cast(context, ALL_HALVES, type, "f32") as Float32Array<ArrayBuffer>;
    const numbers = new Float32Array(bits.buffer);
    for (let i = 0; i + 1 < 0x7c00; i++) numbers[i] = (exact[i] + exact[i + 1]) / 2; // ties
    for (let i = 0x7c00; i < 0x10000; i++) numbers[i] = exact[i] * (1 + 2 ** -20);
    const got = cast(context, numbers, "f32", type);
    const want = fromNumbers(numbers, type);
    numbers.forEach((v, i) => {
      if (!Number.isNaN(v)) assertEquals(got[i], want[i], `${v} in ${type}`);
    });
  });
}

Deno.test("randomNormal() gives each element by its number, whatever the split", () => {
  using context = openContext({ threads: 2 });
  const n = 20_000;
  const [whole, parts] = [context.alloc(4 * n), context.alloc(4 * n)];
  context.randomNormal(whole, n, 5n, 0n, 0, 1, 0);
  const sizes = [1, 2, 3, 5, 250, 257, 9000, n - 9518];
  let first = 0;
  for (const size of sizes) {
    const part = context.alloc(4 * size);
    context.randomNormal(part, size, 5n, BigInt(first), 0, 1, 0);
    context.copyRows(Deno.UnsafePointer.offset(parts, 4 * first), part, 1, 4 * size, 0, 0);
    first += size;
  }
  const [a, b] = [new Float32Array(n), new Float32Array(n)];
  context.download(a, whole);
  context.download(b, parts);
  assertEquals(first, n);
  assertEquals(a, b);
});

Deno.test("randomNormal() is normal, differs by seed, and is the same for all types", () => {
  using context = openContext({ threads: 2 });
  const n = 1_000_000;
  const x = new Float32Array(n);
  const ptr = context.alloc(4 * n);
  context.randomNormal(ptr, n, 2n ** 63n, 7n, 3, 2, 0);
  context.download(x, ptr);
  const z = x.map((v) => (v - 3) / 2);
  const moment = (k: number) => z.reduce((sum, v) => sum + v ** k, 0) / n;
  const wanted = [0, 1, 0, 3, 0, 15];
  wanted.forEach((want, i) => {
    const k = i + 1, variance = [1, 2, 15, 96, 945, 10170][i];
    const allowed = 5 * Math.sqrt(variance / n);
    assert(Math.abs(moment(k) - want) < allowed, `moment ${k} must be ${want}, found ${moment(k)}`);
  });
  assert(z.every(Number.isFinite));
  for (const type of TYPES.slice(1)) {
    context.randomNormal(ptr, 1000, 2n ** 63n, 7n, 3, 2, CODE[type]);
    const narrow = new Uint16Array(1000);
    context.download(narrow, ptr);
    assertEquals(narrow, fromNumbers(x.subarray(0, 1000), type));
  }
  context.randomNormal(ptr, 1000, 1n, 7n, 3, 2, 0);
  const other = new Float32Array(1000);
  context.download(other, ptr);
  assert(other.every((v, i) => v !== x[i]));
});
