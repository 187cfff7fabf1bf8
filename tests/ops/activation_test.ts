/** SwiGLU and GELU against float64, and the exponential behind them. @module */
import { assert, assertEquals } from "@std/assert";
import { openContext } from "../../ffi/context.ts";
import { type Op, SIZES, testOp } from "./check_op.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

function swiglu(N: number, F: number): Op {
  return {
    title: `N = ${N}, F = ${F}`,
    inputs: { x: { shape: [N, 2 * F], gradient: "overwritten" } },
    outputs: { y: { shape: [N, F], hasGradient: true } },
    reference: ({ x }) => {
      const y = new Float64Array(N * F);
      for (let n = 0; n < N; n++) {
        for (let f = 0; f < F; f++) {
          const gate = x[2 * n * F + f];
          y[n * F + f] = gate * sigmoid(gate) * x[2 * n * F + F + f];
        }
      }
      return { y };
    },
    forward: (k, p, t) => k.swigluForward(p.x, p.y, N, F, t),
    backward: (k, p, t) => k.swigluBackward(p.dy, p.x, p.dx, N, F, t),
  };
}

function gelu(n: number): Op {
  return {
    title: `n = ${n}`,
    inputs: { x: { shape: [n], gradient: "overwritten" } },
    outputs: { y: { shape: [n], hasGradient: true } },
    reference: ({ x }) => ({
      y: x.map((v) => v / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))),
    }),
    forward: (k, p, t) => k.geluForward(p.x, p.y, n, t),
    backward: (k, p, t) => k.geluBackward(p.dy, p.x, p.dx, n, t),
  };
}

testOp("swiglu matches its formula and gradient on every width", function* () {
  for (const F of SIZES) yield swiglu(3, F);
});

testOp("gelu matches its formula and gradient on every length", function* () {
  for (const n of SIZES) yield gelu(n);
});

Deno.test("gelu() is exact to a few units in the last place over the whole range of f32", () => {
  using context = openContext({ threads: 1 });
  const values: number[] = [];
  for (let x = 1e-38; x < 1e38; x *= 1.37) values.push(Math.fround(x), -Math.fround(x));
  for (let x = -13; x < 13; x += 0.01) values.push(Math.fround(x));
  const y = runGelu(context, values);
  values.forEach((x, i) => {
    const u = 1.5957691216057308 * x + 0.07135481282553474 * x ** 3; // sigmoid(u) as exp loses it
    const want = x * (u > -700 ? 1 / (1 + Math.exp(-u)) : 0);
    // An error of one unit in the argument of the exponential is |argument| units of its value
    const allowed = (4 + 2 * Math.min(100, Math.abs(u))) * 2 ** -23 * Math.abs(want) +
      Math.abs(x) * 2 ** -125;
    assert(Math.abs(y[i] - want) <= allowed, `gelu(${x}) must be ${want}, found ${y[i]}`);
  });
});

Deno.test("silu() and gelu() keep infinities and nan", () => {
  using context = openContext({ threads: 1 });
  assertEquals([...runGelu(context, [Infinity, NaN, 0])], [Infinity, NaN, 0]);
});

function runGelu(context: ReturnType<typeof openContext>, values: number[]): Float32Array {
  const x = Float32Array.from(values), y = new Float32Array(x.length);
  const ptr = context.alloc(x.byteLength);
  context.upload(ptr, x);
  context.geluForward(ptr, ptr, x.length, 0);
  context.download(y, ptr);
  return y;
}
