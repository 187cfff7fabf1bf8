/** Blocks of int8, there and back, against float64. @module */
import { assertEquals, assertThrows } from "@std/assert";
import { openContext } from "../../ffi/context.ts";
import { NativeError } from "../../ffi/native_error.ts";
import { BACKENDS, isAvailable, type Op, SIZES, testOp } from "./check_op.ts";

/**
 * Quantises n elements in blocks and takes them back.
 *
 * @param value Of element i; the largest of each block is a power of 2 times 127, which every type
 * holds, so that scales are exact and ties fall where they must
 */
function roundTrip(n: number, block: number, value = exactScale(block)): Op {
  const blocks = Math.ceil(n / block);
  return {
    title: `n = ${n}, block = ${block}`,
    inputs: { x: { shape: [n], value } },
    outputs: {
      q: { shape: [n], type: "i8" },
      scale: { shape: [blocks], type: "f32" },
      y: { shape: [n] },
    },
    reference: ({ x }) => {
      const q = new Float64Array(n), scale = new Float64Array(blocks);
      for (let i = 0; i < blocks; i++) {
        const part = x.subarray(i * block, (i + 1) * block).map(Math.abs);
        scale[i] = part.reduce((a, b) => Math.max(a, b), 0) / 127;
      }
      const code = (v: number, i: number) => {
        const s = scale[Math.floor(i / block)];
        return s === 0 ? 0 : roundToEven(v / s);
      };
      x.forEach((v, i) => q[i] = code(v, i));
      return { q, scale, y: q.map((v, i) => v * scale[Math.floor(i / block)]) };
    },
    forward: (k, p, t) => {
      k.quantizeInt8(p.x, p.q, p.scale, n, block, t);
      k.dequantizeInt8(p.q, p.scale, p.y, n, block, t);
    },
  };
}

/** Codes that go up and down by halves, in units of a power of 2 that differs between blocks. */
function exactScale(block: number): (i: number) => number {
  return (i) => {
    const unit = 2 ** (Math.floor(i / block) % 7 - 5);
    const halves = i % block === 0 ? 254 : i * 37 % 253 - 126; // few enough bits for bf16
    return halves / 2 * unit * (i % 3 === 0 ? -1 : 1);
  };
}

function roundToEven(x: number): number {
  const below = Math.floor(x), rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

testOp("int8 blocks hold the nearest multiples of their scale, ties to even", function* () {
  for (const n of SIZES) yield roundTrip(n, 256);
  yield roundTrip(4099, 512);
  yield roundTrip(1000, 7); // no multiple of any vector
  yield roundTrip(1000, 1);
  yield roundTrip(64, 1000); // one block, longer than what there is
  yield roundTrip(520, 256, () => 0);
});

for (const backend of BACKENDS) {
  Deno.test({
    name: `int8 blocks do not hide overflows, and keep the error within half a step (${backend})`,
    ignore: !isAvailable(backend),
    fn: () => {
      using context = openContext({ backend, threads: 2 });
      const n = 1024, block = 256;
      const x = Float32Array.from({ length: n }, (_, i) => Math.sin(i * i) * 1e3);
      x[300] = Infinity;
      x[600] = NaN;
      x.fill(3e-45, 768); // a scale below the smallest number
      const at = context.alloc(x.byteLength), back = context.alloc(x.byteLength);
      const q = context.alloc(n), scale = context.alloc(4 * n / block);
      context.upload(at, x);
      context.quantizeInt8(at, q, scale, n, block, 0);
      context.dequantizeInt8(q, scale, back, n, block, 0);
      const y = new Float32Array(n), scales = new Float32Array(n / block), codes = new Int8Array(n);
      context.download(y, back);
      context.download(scales, scale);
      context.download(codes, q);
      const largest = x.subarray(0, block).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      assertEquals([...scales], [Math.fround(largest / 127), NaN, NaN, 0]);
      assertEquals(codes.subarray(block).every((code) => code === 0), true);
      assertEquals(y.subarray(block, 3 * block).every((v) => Number.isNaN(v)), true);
      assertEquals(y.subarray(3 * block).every((v) => v === 0), true);
      for (let i = 0; i < block; i++) {
        assertEquals(Math.abs(y[i] - x[i]) <= scales[0] * 0.50001, true, `element ${i}`);
      }
      assertThrows(() => context.quantizeInt8(at, q, scale, n, 0, 0), NativeError, "block");
    },
  });
}
