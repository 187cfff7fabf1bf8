/**
 * Compares an op of every backend with a float64 reference, and its gradients with finite
 * differences of that reference.
 * @module
 */
import { assert } from "@std/assert";
import { type Context, openContext } from "../../ffi/context.ts";
import type { Kernels, Pointer } from "../../ffi/kernels.ts";
import { type Backend, openLibrary } from "../../ffi/library.ts";
import { offset } from "../../ffi/memory.ts";
import { setEmulation } from "./emulation.ts";
import { type Element, fromNumbers, toNumbers } from "./element.ts";

/** Sizes on which vectorised loops and their tails differ. */
export const SIZES = [1, 7, 8, 9, 63, 4099];

/** Storage types that every op must take. */
export const TYPES = ["f32", "bf16", "f16"] as const;

/** Relative error that the storage type allows for values that were computed in f32. */
const TOLERANCE: Record<string, number> = { f32: 2e-5, bf16: 2 ** -7, f16: 2 ** -10, f64: 1e-6 };

/** An input of an op. */
export interface Input {
  shape: readonly number[];
  /** Type in memory; "storage" is the one under test. */
  type?: Element | "storage";
  /** Value of element i; normal numbers when left out. Rounded to the type for the reference too. */
  value?: (i: number) => number;
  /** What `backward` does to the gradient `d<name>`; left out: there is none. */
  gradient?: "overwritten" | "added to";
  /** Type of the gradient: storage when overwritten, f32 when added to, unless given. */
  gradientType?: Element | "storage";
}

/** An output of an op, or memory it changes in place. */
export interface Output {
  shape: readonly number[];
  type?: Element | "storage";
  /** Value of element i before the call; when left out, numbers that nothing may depend on. */
  value?: (i: number) => number;
  /** Has a gradient `d<name>`, which `backward` reads. */
  hasGradient?: boolean;
  /** Kept for the backward and not compared. */
  isInternal?: boolean;
}

/** Named arrays of numbers. */
export type Values = Record<string, Float64Array>;

/** An op on tensors of given shapes. */
export interface Op {
  /** What a failure is reported as: sizes and options. */
  title: string;
  inputs: Record<string, Input>;
  outputs: Record<string, Output>;
  /** The outputs of the inputs (and of the earlier values of the outputs), in float64. */
  reference(values: Values): Values;
  /** Calls the op. `p` holds an address for each input and output. */
  forward(k: Kernels, p: Record<string, Pointer>, dtype: number): void;
  /** Calls the gradient: `p` also holds `d<name>` of inputs and outputs that have one. */
  backward?(k: Kernels, p: Record<string, Pointer>, dtype: number): void;
  /** Storage types to try; all when left out. */
  types?: readonly Element[];
  /** Factor of the tolerance, for sums of many terms and the like. */
  slack?: number;
  /** Magnitude of what cancels, where results may be near 0 altogether. */
  magnitude?: number;
}

/**
 * The backends under test: the emulated CUDA backend wherever scripts/build_emulated was run.
 * LLMPIPE_TEST_BACKENDS names others, with commas between: scripts/test_cuda does.
 */
export const BACKENDS: readonly Backend[] =
  (Deno.env.get("LLMPIPE_TEST_BACKENDS")?.split(",") ?? ["cpu", "cuda", "cudaemu"]) as Backend[];

/** True when a backend can be used on this machine. */
export function isAvailable(backend: Backend): boolean {
  try {
    openLibrary(backend);
    openContext({ backend, threads: 1 })[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
}

/**
 * Declares one test per backend: every op in every storage type, aligned with one and two threads
 * (which must agree in every bit) and one element off alignment. An emulated backend has to give the
 * same bits in every order of its threads, and when streams run as late as they may.
 */
export function testOp(title: string, ops: (backend: Backend) => Iterable<Op>): void {
  for (const backend of BACKENDS) {
    Deno.test({
      name: `${title} (${backend})`,
      ignore: !isAvailable(backend),
      fn: () => {
        using one = openContext({ backend, threads: 1 });
        using two = openContext({ backend, threads: 2 });
        const settings = settingsOf(backend);
        for (const op of ops(backend)) checkOp(op, one, two, settings);
      },
    });
  }
}

/** Another way to run that may not change a bit. */
export interface Setting {
  name: string;
  enter(): void;
  leave(): void;
}

/**
 * Every such way of a backend: thread orders and late streams where it is emulated. The builds with
 * the race detector and the sanitizers find what they find in any order: one other one will do.
 */
export function settingsOf(backend: Backend): Setting[] {
  if (!backend.startsWith("cudaemu")) return [{ name: "two threads", enter() {}, leave() {} }];
  const orders = backend === "cudaemu" ? [-1, 1, 2, 3] : [3];
  return orders.map((order) => ({
    name: `thread order ${order}, streams ${order === 3 ? "deferred" : "at once"}`,
    enter: () => setEmulation(backend, { order, deferred: order === 3 }),
    leave: () => setEmulation(backend, { order: 0, deferred: false }),
  }));
}

/** Runs one op in every storage type on contexts of one and of two threads. */
export function checkOp(
  op: Op,
  one: Context,
  two: Context,
  settings: readonly Setting[],
): void {
  for (const storage of op.types ?? TYPES) {
    const tensors = tensorsOf(op, storage);
    const want = expect(op, tensors, storage);
    const where = (place: string) => `${op.title}, ${storage}, ${place}`;
    const first = runOp(op, tensors, storage, one, 0);
    compare(tensors, first, want, storage, op, where("one thread"));
    for (const setting of settings) {
      setting.enter();
      const second = runOp(op, tensors, storage, two, 0);
      setting.leave();
      for (const name of Object.keys(first)) {
        const again = second[name];
        const same = first[name].every((v, i) => Object.is(v, again[i]));
        assert(same, `${where(setting.name)}: ${name} differs in its bits from that of one thread`);
      }
    }
    const third = runOp(op, tensors, storage, two, 1);
    compare(tensors, third, want, storage, op, where("not aligned"));
  }
}

/** A tensor of a case: its type in memory, and its values before the call, already rounded. */
interface Held {
  type: Element;
  values: Float64Array;
  isOutput: boolean; // of forward or backward
}

function tensorsOf(op: Op, storage: Element): Record<string, Held> {
  const resolve = (type: Element | "storage" = "storage") => type === "storage" ? storage : type;
  const held: Record<string, Held> = {};
  let seed = 1;
  const add = (
    name: string,
    type: Element,
    shape: readonly number[],
    value: ((i: number) => number) | undefined,
    isOutput: boolean,
  ) => {
    const random = normal(seed++);
    const size = shape.reduce((a, b) => a * b, 1);
    const numbers = new Float64Array(size);
    for (let i = 0; i < size; i++) numbers[i] = value?.(i) ?? random();
    held[name] = { type, values: toNumbers(fromNumbers(numbers, type), type), isOutput };
  };
  for (const [name, input] of Object.entries(op.inputs)) {
    add(name, resolve(input.type), input.shape, input.value, false);
    if (!input.gradient || !op.backward) continue;
    const type = input.gradientType ?? (input.gradient === "added to" ? "f32" : "storage");
    add(`d${name}`, resolve(type), input.shape, undefined, true);
  }
  for (const [name, output] of Object.entries(op.outputs)) {
    add(name, resolve(output.type), output.shape, output.value, !output.isInternal);
    if (output.hasGradient && op.backward) {
      add(`d${name}`, resolve(output.type), output.shape, undefined, false);
    }
  }
  return held;
}

/** What each output and gradient must be; gradients only at some elements, nan elsewhere. */
function expect(op: Op, held: Record<string, Held>, storage: Element): Values {
  const values = Object.fromEntries(Object.entries(held).map(([name, t]) => [name, t.values]));
  const want = op.reference(copyOf(values));
  if (!op.backward) return want;
  const loss = (of: Values) => {
    const outputs = op.reference(copyOf(of));
    let sum = 0;
    for (const [name, { hasGradient }] of Object.entries(op.outputs)) {
      if (!hasGradient) continue;
      const [y, dy] = [outputs[name], held[`d${name}`].values];
      for (let i = 0; i < y.length; i++) sum += y[i] * dy[i];
    }
    return sum;
  };
  for (const [name, { gradient, shape }] of Object.entries(op.inputs)) {
    if (!gradient) continue;
    const before = held[`d${name}`].values;
    const wanted = new Float64Array(before.length).fill(NaN);
    for (const i of someOf(shape.reduce((a, b) => a * b, 1), storage === "f32" ? 12 : 6)) {
      const shifted = (by: number) => {
        const moved = values[name].slice();
        moved[i] += by;
        return loss({ ...values, [name]: moved });
      };
      const h = 1e-4; // error of fourth order: (f(x-2h) - 8 f(x-h) + 8 f(x+h) - f(x+2h)) / 12h
      const slope = (shifted(-2 * h) - 8 * shifted(-h) + 8 * shifted(h) - shifted(2 * h)) /
        (12 * h);
      wanted[i] = slope + (gradient === "added to" ? before[i] : 0);
    }
    want[`d${name}`] = wanted;
  }
  return want;
}

function runOp(
  op: Op,
  held: Record<string, Held>,
  storage: Element,
  context: Context,
  shift: number,
): Values {
  const blocks: Deno.PointerObject[] = [];
  const pointers: Record<string, Pointer> = {};
  const got: Values = {};
  try {
    for (const [name, { type, values }] of Object.entries(held)) {
      const bytes = fromNumbers(values, type);
      const begin = shift * bytes.BYTES_PER_ELEMENT;
      const block = context.alloc(begin + bytes.byteLength);
      blocks.push(block);
      pointers[name] = offset(block, begin);
      context.upload(pointers[name], bytes);
    }
    const code = { f32: 0, bf16: 1, f16: 2, i32: 3, f64: 4, i8: -1 }[storage];
    op.forward(context, pointers, code);
    op.backward?.(context, pointers, code);
    for (const [name, { type, values, isOutput }] of Object.entries(held)) {
      if (!isOutput) continue;
      const bytes = fromNumbers(values, type);
      context.download(bytes, pointers[name]);
      got[name] = toNumbers(bytes, type);
    }
  } finally {
    blocks.forEach((block) => context.free(block));
  }
  return got;
}

function compare(
  held: Record<string, Held>,
  got: Values,
  want: Values,
  storage: Element,
  op: Op,
  where: string,
): void {
  for (const [name, values] of Object.entries(got)) {
    const wanted = want[name];
    if (wanted === undefined) continue;
    // What was computed from rounded values is not better than they are
    const tolerance = (op.slack ?? 1) *
      Math.max(TOLERANCE[held[name].type], name[0] === "d" ? TOLERANCE[storage] : 0);
    const finite = wanted.filter((v) => Number.isFinite(v));
    const scale = (op.magnitude ?? 0) +
      Math.sqrt(finite.reduce((sum, v) => sum + v * v, 0) / Math.max(1, finite.length));
    wanted.forEach((v, i) => {
      if (Number.isNaN(v) || v === values[i]) return;
      if (Math.abs(values[i] - v) <= tolerance * (Math.abs(v) + scale)) return;
      assert(false, `${where}: ${name}[${i}] must be ${v}, found ${values[i]}`);
    });
  }
}

function copyOf(values: Values): Values {
  return Object.fromEntries(Object.entries(values).map(([name, v]) => [name, v.slice()]));
}

/** The first and the last of n elements and some between, at most `count`. */
function someOf(n: number, count: number): Set<number> {
  return new Set(
    Array.from({ length: count }, (_, i) => Math.round(i * (n - 1) / Math.max(1, count - 1))),
  );
}

/** Standard normal numbers (a sum of uniform ones), the same for the same seed. */
export function normal(seed: number): () => number {
  let state = seed * 2654435761 >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return () => {
    let sum = -3;
    for (let i = 0; i < 6; i++) sum += uniform();
    return sum * Math.SQRT2;
  };
}
