#!/usr/bin/env -S deno run -A
/**
 * Speed of single ops on the shapes of the bench model, beside what the machine can do: products
 * beside the best square one, the rest beside a plain copy, both timed in the same run. Each op is
 * checked before it is timed; the best of several runs counts, as the machine may be busy.
 *
 *   deno run -A scripts/bench/kernels.ts [--threads 2] [--type f32|bf16|f16] [--repeats 15]
 *
 * @module
 */
import { assert } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { Device } from "../../src/tensor/device.ts";
import { BYTES_PER_ELEMENT, type FloatType } from "../../src/tensor/dtype.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

const args = parseArgs(Deno.args, { string: ["threads", "type", "repeats"] });
const repeats = Number(args.repeats ?? 15);
const [N, D, F, V] = [1024, 512, 1376, 32000];
const K = 64; // head width

using device = Device.open({ threads: Number(args.threads ?? 0) });
const { kernels } = device;

/** Best seconds of one call. */
function best(run: () => void): number {
  let seconds = Infinity;
  for (let i = 0; i < repeats; i++) {
    const begin = performance.now();
    run();
    seconds = Math.min(seconds, (performance.now() - begin) / 1000);
  }
  return seconds;
}

function report(name: string, seconds: number, speed: number, unit: string, most: number): void {
  const share = (100 * speed / most).toFixed(0).padStart(4);
  const time = (seconds * 1000).toFixed(3).padStart(9);
  console.log(`  ${name.padEnd(26)}${time} ms${speed.toFixed(1).padStart(8)} ${unit}${share} %`);
}

/** A tensor of standard normal numbers. */
function random(shape: number[], type: FloatType, seed: bigint): Tensor {
  const tensor = device.tensor(shape, type);
  kernels.randomNormal(tensor.ptr, tensor.size, seed, 0n, 0, 1, tensor.code);
  return tensor;
}

interface Product {
  name: string;
  rows: number;
  cols: number;
  inner: number;
  transA?: boolean;
  transB?: boolean;
  /** Added to an f32 gradient. */
  isGradient?: boolean;
}

/** The products of a linear layer [F, D] over `rows` rows. */
function layer(name: string, rows: number, D: number, F: number): Product[] {
  return [
    { name: `${name} y = x w^T`, rows, cols: F, inner: D, transB: true },
    { name: `${name} dx = dy w`, rows, cols: D, inner: F },
    { name: `${name} dw += dy^T x`, rows: F, cols: D, inner: rows, transA: true, isGradient: true },
  ];
}

const SQUARES: Product[] = [512, 1024, 2048].map((n) => (
  { name: `${n}^3`, rows: n, cols: n, inner: n, transB: true }
));
const LAYERS: Product[] = [
  ...layer("attention", N, D, D),
  ...layer("gate and up", N, D, 2 * F),
  ...layer("down", N, F, D),
  ...layer("head", N, D, V),
];
const DECODES: Product[] = [[D, D], [D, 2 * F], [F, D], [D, V]].map(([inner, cols]) => (
  { name: `one row, [${cols}, ${inner}]`, rows: 1, cols, inner, transB: true }
));

/** Seconds of one product, after its first element has been checked. */
function time(product: Product, type: FloatType): number {
  const { rows, cols, inner, transA = false, transB = false, isGradient = false } = product;
  const A = random(transA ? [inner, rows] : [rows, inner], type, 1n);
  const B = random(transB ? [cols, inner] : [inner, cols], type, 2n);
  const C = device.tensor([rows, cols], isGradient ? "f32" : type);
  const [lda, ldb] = [A.shape[1], B.shape[1]];
  const [ta, tb, beta] = [Number(transA), Number(transB), Number(isGradient)];
  const run = () =>
    // deno-fmt-ignore
    kernels.gemm(A.ptr, B.ptr, C.ptr, rows, cols, inner, lda, ldb, cols, ta, tb, 1, 0, 0, 0, 1, beta,
      A.code, C.code);
  kernels.zero(C.ptr, C.bytes);
  run();
  const [a, b, c] = [A, B, C].map((tensor) => device.downloadF32(tensor));
  let want = 0;
  for (let k = 0; k < inner; k++) want += a[transA ? k * rows : k] * b[transB ? k : k * cols];
  assert(Math.abs(c[0] - want) < 0.01 * Math.sqrt(inner), `${product.name}: ${c[0]} for ${want}`);
  const seconds = best(run);
  for (const { ptr, bytes } of [A, B, C]) device.free({ ptr, bytes });
  return seconds;
}

function benchProducts(type: FloatType): void {
  const speed = (product: Product, seconds: number) =>
    2 * product.rows * product.cols * product.inner / seconds / 1e9;
  const squares = SQUARES.map((product) => speed(product, time(product, type)));
  const peak = Math.max(...squares);
  console.log(`${type}: best square product ${peak.toFixed(0)} GFLOP/s`);
  for (const product of LAYERS) {
    const seconds = time(product, type);
    report(product.name, seconds, speed(product, seconds), "GFLOP/s", peak);
  }
}

/** Ops that memory limits: name, bytes read and written, and the call. */
function benchMemory(type: FloatType): void {
  const rows = 4 * N, wide = rows * 2 * F, e = BYTES_PER_ELEMENT[type];
  const [x, y, z] = [1n, 2n, 3n].map((seed) => random([wide], type, seed));
  const [p, g, m, v] = [4n, 5n, 6n, 7n].map((seed) => random([wide], "f32", seed));
  const [cos, sin] = [device.tensor([N, K / 2], "f32"), device.tensor([N, K / 2], "f32")];
  const inverse = random([K / 2], "f32", 8n);
  const position = device.tensor([rows], "i32");
  device.upload(position, Int32Array.from({ length: rows }, (_, i) => i % N));
  kernels.ropeTable(inverse.ptr, cos.ptr, sin.ptr, N, K / 2, 1);
  const t = x.code, ND = rows * D, NF = rows * F, heads = 2 * D / K;
  const copied = best(() => kernels.copy(y.ptr, x.ptr, x.bytes));
  assert(device.downloadF32(y).every((value, i) => i > 1000 || value === device.downloadF32(x)[i]));
  const most = 2 * x.bytes / copied / 1e9;
  console.log(`${type}: copy ${most.toFixed(1)} GB/s`);
  const OPS: [string, number, () => void][] = [
    [
      "rmsNorm",
      2 * ND * e,
      () => kernels.rmsNormForward(x.ptr, null, z.ptr, null, y.ptr, g.ptr, rows, D, 1e-5, t),
    ],
    [
      "rmsNorm backward",
      4 * ND * e,
      () => kernels.rmsNormBackward(x.ptr, z.ptr, z.ptr, m.ptr, y.ptr, y.ptr, v.ptr, rows, D, t),
    ],
    ["rope", 4 * ND * e, () =>
      // deno-fmt-ignore
      kernels.rope(y.ptr, position.ptr, cos.ptr, sin.ptr, rows, heads, K, K, 3 * D, N, 0, 1, t)],
    ["swiglu", 3 * NF * e, () => kernels.swigluForward(x.ptr, y.ptr, rows, F, t)],
    ["swiglu backward", 5 * NF * e, () => kernels.swigluBackward(z.ptr, x.ptr, y.ptr, rows, F, t)],
    ["add", 3 * wide * e, () => kernels.add(x.ptr, z.ptr, y.ptr, wide, t)],
    ["adamw", wide * (28 + (type === "f32" ? 0 : e)), () =>
      // deno-fmt-ignore
      kernels.adamw(g.ptr, p.ptr, m.ptr, v.ptr, type === "f32" ? null : y.ptr, wide, 1, 1e-4, 0.9, 0.99,
        1e-8, 0.1, 0.1, 0.1, t)],
  ];
  kernels.scale(v.ptr, 0, wide, v.code); // the second moment is no negative number
  for (const [name, bytes, run] of OPS) {
    run();
    const seconds = best(run);
    report(name, seconds, bytes / seconds / 1e9, "GB/s", most);
  }
  for (const { ptr, bytes } of [x, y, z, p, g, m, v]) device.free({ ptr, bytes });
  for (const product of DECODES) {
    const seconds = time(product, type);
    report(product.name, seconds, product.cols * product.inner * e / seconds / 1e9, "GB/s", most);
  }
}

for (const type of args.type ? [args.type as FloatType] : ["f32", "bf16"] as const) {
  benchProducts(type);
  benchMemory(type);
}
