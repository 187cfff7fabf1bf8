/** Attention and its gradients against float64. @module */
import { assert, assertThrows } from "@std/assert";
import { openContext } from "../../ffi/context.ts";
import { offset } from "../../ffi/memory.ts";
import { NativeError } from "../../ffi/native_error.ts";
import { type Case, checkCase, random, shapeOf } from "./attention_case.ts";
import { attention, attentionGradients, type Tensors } from "./attention_reference.ts";
import { BACKENDS, isAvailable, settingsOf, TYPES } from "./check_op.ts";

/** Queries up to which CUDA's flash attention is that of decoding: kFewQueries. */
const MOST_DECODED = 4;

/** Lengths of packed samples: 5, 40, 17, then the rest. */
function packed(_b: number, t: number): [number, number] {
  const begin = [62, 45, 5, 0].find((at) => at <= t)!;
  return [begin, t + 1];
}

const CASES: Case[] = [
  { title: "one token", Tq: 1, Tk: 1 },
  { title: "two tokens", Tq: 2, Tk: 2, K: 7 },
  { title: "a head of one element", K: 1, Tq: 130, Tk: 130, H: 1, G: 1 },
  { title: "K = 12, one short of a block", K: 12, Tq: 63, Tk: 63 },
  { title: "K = 64, a whole block", K: 64, Tq: 64, Tk: 64 },
  { title: "K = 80, one more than a block", K: 80, Tq: 65, Tk: 65, H: 2, G: 1 },
  { title: "K = 128, fused", K: 128, Tq: 130, Tk: 130, B: 1, H: 2, G: 2, fused: true },
  { title: "K = 256", K: 256, Tq: 20, Tk: 20, B: 1, H: 2, G: 1 },
  { title: "groups of two, fused", K: 12, Tq: 130, Tk: 130, H: 4, G: 2, fused: true },
  { title: "a group of four", K: 20, Tq: 65, Tk: 65, H: 4, G: 1 },
  { title: "linear biases", K: 16, Tq: 130, Tk: 130, H: 4, G: 4, slope: (h) => 2 ** (-2 * h - 2) },
  { title: "packed rows", Tq: 130, Tk: 130, limits: packed },
  {
    title: "padding on the right",
    Tq: 70,
    Tk: 70,
    limits: (b, t) => [t < 50 - b ? 0 : 50 - b, t < 50 - b ? t + 1 : 50 - b],
  },
  {
    title: "padding on the left",
    Tq: 70,
    Tk: 70,
    limits: (b, t) => t < 19 + b ? [0, 0] : [19 + b, t + 1],
  },
  { title: "a sliding window", Tq: 200, Tk: 200, limits: (_, t) => [Math.max(0, t - 20), t + 1] },
  {
    title: "a prefix seen from everywhere",
    Tq: 100,
    Tk: 100,
    limits: (_, t) => [0, Math.max(t + 1, 70)],
  },
  { title: "no mask", Tq: 50, Tk: 90, limits: () => [0, 90] },
  { title: "nothing seen at all", Tq: 40, Tk: 40, limits: () => [0, 0] },
  { title: "gaps that no query sees", Tq: 60, Tk: 200, limits: (_, t) => [3 * t + 2, 3 * t + 4] },
  { title: "one token after a cache", Tq: 1, Tk: 300, room: 9, limits: () => [11, 291] },
  {
    title: "three tokens after a cache, groups and biases",
    Tq: 3,
    Tk: 140,
    H: 4,
    G: 2,
    K: 33,
    slope: (h) => 0.1 * (h + 1),
    slack: 4, // lse is 55
    limits: (b, t) => [b, 138 + t],
  },
  {
    title: "thirty tokens after a cache",
    Tq: 30,
    Tk: 170,
    room: 3,
    limits: (b, t) => [b, 130 + t],
  },
  { title: "dropout", Tq: 130, Tk: 130, dropout: 0.1 },
  { title: "dropout of three tokens, K = 7", Tq: 3, Tk: 3, K: 7, dropout: 0.3, slack: 2 },
  {
    title: "dropout, biases, groups, packed and fused",
    ...{ Tq: 130, Tk: 130, K: 12, H: 6, G: 2, fused: true, limits: packed, dropout: 0.5, slack: 2 },
    slope: (h) => 0.1 * (h + 1),
  },
  {
    title: "dropout in windows of sequences of unlike lengths",
    // slack: where a query sees one key, dq is 0 but for the rounding of o
    ...{ Tq: 150, Tk: 150, H: 2, G: 1, K: 20, dropout: 0.2, slack: 2 },
    limits: (b, t) => [Math.max(0, Math.min(t, 120 - 30 * b) - 40), Math.min(t + 1, 120 - 30 * b)],
  },
];

for (const backend of BACKENDS) {
  const ignore = !isAvailable(backend);
  Deno.test({
    name: `attention matches its formula and gradients for every mask and layout (${backend})`,
    ignore,
    fn: () => {
      using one = openContext({ backend, threads: 1 });
      using two = openContext({ backend, threads: 2 });
      // Each case in one other way to run: there are many of them, and many ways under emulation.
      // With the race detector and the sanitizers in none, as the sharp case below has it
      const settings = settingsOf(backend);
      const isSlow = backend === "cudaemu_race" || backend === "cudaemu_asan";
      CASES.forEach((given, i) => {
        // In CUDA these rows, which are not aligned, are for the same kernels in both algorithms
        const isSame = backend !== "cpu" && shapeOf(given).Tq > MOST_DECODED;
        const algorithms = (["flash", "reference"] as const).filter((_, a) =>
          !isSame || a === i % 2
        );
        const other = isSlow ? [] : [settings[i % settings.length]!];
        checkCase(given, one, two, other, TYPES, algorithms);
      });
    },
  });

  Deno.test({
    name: `attention keeps its digits when scores are large (${backend})`,
    ignore,
    fn: () => {
      using one = openContext({ backend, threads: 1 });
      using two = openContext({ backend, threads: 2 });
      const settings = settingsOf(backend);
      const sharp = { title: "sharp", Tq: 70, Tk: 70, K: 16, scale: 8, slack: 20 };
      checkCase(sharp, one, two, settings);
      checkCase(
        { title: "negative scale", Tq: 70, Tk: 70, K: 16, scale: -0.3 },
        one,
        two,
        settings,
      );
    },
  });

  Deno.test({
    name: `attention refuses heads, limits and options that make no sense (${backend})`,
    ignore,
    fn: () => {
      using context = openContext({ backend, threads: 1 });
      const x = context.alloc(4096);
      const limits = context.alloc(64);
      const call = (limitsOf: number[], H: number, G: number, dropout = 0, algorithm = 0) => {
        context.upload(limits, Int32Array.from(limitsOf));
        context.attentionForward(
          ...[x, x, x, limits, offset(limits, 8), null, offset(x, 2048), null] as const,
          ...[1, 2, 2, H, G, 8, 32, 32, 64, 32, 1, dropout, 0n, algorithm, 0] as const,
        );
        context.synchronize(); // where limits lie in device memory, a kernel looks at them
      };
      call([0, 0, 1, 2], 4, 2);
      const message = (run: () => void) => assertThrows(run, NativeError).message;
      assert(message(() => call([0, 0, 1, 2], 3, 2)).includes("H must be a multiple of G"));
      assert(message(() => call([0, 0, 1, 3], 4, 2)).includes("0..Tk = 2"));
      assert(message(() => call([1, 0, 2, 2], 4, 2)).includes("must not shrink"));
      assert(message(() => call([0, 0, 1, 2], 4, 2, 1)).includes("dropout must be in [0, 1)"));
      assert(message(() => call([0, 0, 1, 2], 4, 2, 0, 2)).includes("flash (0) or reference (1)"));
      context.free(x);
      context.free(limits);
    },
  });
}

Deno.test("the attention reference has the gradients that finite differences give", () => {
  const slope = (h: number) => 0.3 * h + 0.1;
  const shape = shapeOf({ title: "", Tq: 4, Tk: 5, H: 2, G: 1, K: 3, slope, dropout: 0.4 });
  const { B, Tq, Tk, H, G, K } = shape;
  const x: Tensors = {
    q: random(B * Tq * H * K, 1, "f64"),
    k: random(B * Tk * G * K, 2, "f64"),
    v: random(B * Tk * G * K, 3, "f64"),
  };
  const dO = random(B * Tq * H * K, 4, "f64");
  const loss = (x: Tensors) => attention(shape, x).o.reduce((sum, v, i) => sum + v * dO[i], 0);
  const gradients = attentionGradients(shape, x, dO);
  for (const name of ["q", "k", "v"] as const) {
    gradients[`d${name}`].forEach((want, i) => {
      const shifted = (by: number) =>
        loss({ ...x, [name]: x[name].map((v, at) => at === i ? v + by : v) });
      const slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
      assert(Math.abs(slope - want) < 1e-8, `d${name}[${i}] must be ${slope}, found ${want}`);
    });
  }
});
