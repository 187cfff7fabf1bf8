/** Dropout: what it keeps, how often, and its gradient. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Context, openContext } from "../../ffi/context.ts";
import { NativeError } from "../../ffi/native_error.ts";
import { BACKENDS, isAvailable, type Op, SIZES, testOp } from "./check_op.ts";
import { keptFactor, philox } from "./dropout_reference.ts";

Deno.test("philox() gives the words that its authors publish", () => {
  const ones = 0xffffffffffffffffn;
  assertEquals(philox(10, 0n, 0n), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  assertEquals(philox(10, ones, ones, ones), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
  assertEquals(philox(7, 0n, 0n), [0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48]);
  assertEquals(philox(7, ones, ones, ones), [0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662]);
});

testOp("dropout and its gradient match the mask on every length", function* () {
  for (const n of SIZES) {
    for (const [p, seed] of [[0.1, 0x123456789abcdefn], [0.75, 3n], [0, 1n]] as const) {
      const factors = Float64Array.from({ length: n }, (_, i) => keptFactor(p, seed, i));
      const common: Op = {
        title: `n = ${n}, p = ${p}`,
        inputs: { x: { shape: [n], gradient: "overwritten" } },
        outputs: { y: { shape: [n], hasGradient: true } },
        reference: ({ x }) => ({ y: x.map((v, i) => v * factors[i]) }),
        forward: (k, at, t) => k.dropout(at.x, at.y, n, p, seed, t),
        backward: (k, at, t) => k.dropout(at.dy, at.dx, n, p, seed, t),
      };
      yield common;
      yield {
        title: `in place, n = ${n}, p = ${p}`,
        inputs: {},
        outputs: { y: { shape: [n] } },
        reference: ({ y }) => ({ y: y.map((v, i) => v * factors[i]) }),
        forward: (k, at, t) => k.dropout(at.y, at.y, n, p, seed, t),
      };
    }
  }
});

function mask(context: Context, n: number, p: number, seed: bigint): Uint8Array {
  const x = context.alloc(4 * n), values = new Float32Array(n);
  context.fill(x, 1, n, 0);
  context.dropout(x, x, n, p, seed, 0);
  context.download(values, x);
  context.free(x);
  return Uint8Array.from(values, (v) => v === 0 ? 0 : 1);
}

for (const backend of BACKENDS) {
  Deno.test({
    name: `dropout keeps 1 - p of the elements, whatever their place and neighbours (${backend})`,
    ignore: !isAvailable(backend),
    fn: () => {
      using context = openContext({ backend, threads: 1 });
      const n = 1 << 18;
      for (const p of [0.1, 0.5]) {
        const [a, b] = [mask(context, n, p, 1n), mask(context, n, p, 2n)];
        const within = (what: string, kept: number, count: number, expected: number) => {
          const sigma = Math.sqrt(count * expected * (1 - expected));
          assert(
            Math.abs(kept - count * expected) < 5 * sigma,
            `p = ${p}: ${what}: ${kept} of ${count} are kept, expected ${count * expected}`,
          );
        };
        const both = (step: number, other = a) =>
          a.reduce((sum, v, i) => sum + (i + step < n ? v * other[i + step] : 0), 0);
        within("all", a.reduce((x, y) => x + y), n, 1 - p);
        for (let at = 0; at < 8; at++) {
          within(`bits ${at}`, a.filter((v, i) => i % 8 === at && v).length, n / 8, 1 - p);
        }
        for (const step of [1, 2, 3, 4, 8, 16]) {
          within(`neighbours at ${step}`, both(step), n - step, (1 - p) ** 2);
        }
        within("of two seeds", both(0, b), n, (1 - p) ** 2);
      }
    },
  });

  Deno.test({
    name: `dropout refuses a probability outside [0, 1) (${backend})`,
    ignore: !isAvailable(backend),
    fn: () => {
      using context = openContext({ backend, threads: 1 });
      const x = context.alloc(64);
      for (const p of [1, -0.1, NaN]) {
        const error = assertThrows(() => context.dropout(x, x, 16, p, 0n, 0), NativeError);
        assert(error.message.includes("dropout must be in [0, 1)"), error.message);
      }
    },
  });
}
