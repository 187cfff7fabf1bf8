/** Problems for attention, how they lie in memory, and how a backend's answer is checked. @module */
import { assert } from "@std/assert";
import type { Context } from "../../ffi/context.ts";
import type { Pointer } from "../../ffi/kernels.ts";
import { offset } from "../../ffi/memory.ts";
import { attention, attentionGradients, type Shape, type Tensors } from "./attention_reference.ts";
import { normal, type Setting, TYPES } from "./check_op.ts";
import { keptFactorOfPair } from "./dropout_reference.ts";
import { type Element, fromNumbers, toNumbers } from "./element.ts";

/** A problem, and how it lies in memory. */
export interface Case extends Partial<Shape> {
  title: string;
  /** One buffer [N, (H + 2 G) K] for q, k and v; else each has its own, with gaps. */
  fused?: boolean;
  /** Rows begin at multiples of 16 bytes, for those kernels that need it. */
  aligned?: boolean;
  /** Rows that the key/value buffers have room for, beyond Tk. */
  room?: number;
  /** Factor of the tolerance. */
  slack?: number;
  /** Part of the probabilities that is dropped. */
  dropout?: number;
}

/** What a causal mask shows of the keys. */
export const causal = (_b: number, t: number): [begin: number, end: number] => [0, t + 1];

const SEED = 0x1234_5678_9abc_def0n;
const ALGORITHMS = { flash: 0, reference: 1 };

/** The case with what it leaves out. */
export function shapeOf(given: Case): Shape {
  const filled = { B: 2, Tq: 1, Tk: 1, H: 2, G: 2, K: 8, limits: causal, ...given };
  const { H, dropout } = filled;
  return {
    ...filled,
    scale: given.scale ?? 1 / Math.sqrt(filled.K),
    ...(dropout === undefined ? {} : {
      kept: (b: number, h: number, t: number, j: number) =>
        keptFactorOfPair(dropout, SEED, b * H + h, t, j),
    }),
  };
}

/** Where a tensor of rows lies in a buffer, in elements. */
interface Place {
  buffer: string;
  at: number;
  rowStride: number;
  batchStride: number;
  T: number;
  width: number;
}

/** Calls visit(index in the dense tensor, index in its buffer). */
function eachElement(place: Place, B: number, visit: (dense: number, at: number) => void): void {
  const { T, width } = place;
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      for (let c = 0; c < width; c++) {
        visit(
          (b * T + t) * width + c,
          place.at + b * place.batchStride + t * place.rowStride + c,
        );
      }
    }
  }
}

function placesOf(given: Case): { places: Record<string, Place>; sizes: Record<string, number> } {
  const { B, Tq, Tk, H, G, K } = shapeOf(given);
  const places: Record<string, Place> = {}, sizes: Record<string, number> = {};
  const put = (name: string, buffer: string, T: number, room: number, width: number) => {
    const at = given.aligned ? 8 : 1;
    const rowStride = width + (given.aligned ? 8 : 3), batchStride = (T + room) * rowStride;
    places[name] = { buffer, at, rowStride, batchStride, T, width };
    sizes[buffer] = at + B * batchStride;
  };
  for (const name of ["o", "dO"]) put(name, name, Tq, 0, H * K);
  for (const d of ["", "d"]) {
    if (given.fused) {
      const rowStride = (H + 2 * G) * K, batchStride = Tq * rowStride;
      const common = { buffer: `${d}qkv`, rowStride, batchStride, T: Tq };
      places[`${d}q`] = { ...common, at: 0, width: H * K };
      places[`${d}k`] = { ...common, at: H * K, width: G * K };
      places[`${d}v`] = { ...common, at: (H + G) * K, width: G * K };
      sizes[`${d}qkv`] = B * batchStride;
    } else {
      put(`${d}q`, `${d}q`, Tq, 0, H * K);
      put(`${d}k`, `${d}k`, Tk, given.room ?? 0, G * K);
      put(`${d}v`, `${d}v`, Tk, given.room ?? 0, G * K);
    }
  }
  return { places, sizes };
}

/** What the kernels have written, as dense tensors. */
export type Result = Record<"o" | "lse" | "dq" | "dk" | "dv", Float64Array>;

const UNTOUCHED = 7; // what lies between the rows of outputs

/** Runs forward and backward, and checks that nothing is read or written between rows. */
export function runCase(
  context: Context,
  given: Case,
  type: Element,
  tensors: Tensors,
  dO: Float64Array,
  algorithm: number,
): Result {
  const shape = shapeOf(given);
  const { dropout = 0 } = given;
  const { B, Tq, Tk, H, G, K, scale } = shape;
  const { places, sizes } = placesOf(given);
  const size = type === "f32" ? 4 : 2;
  const dtype = TYPES.indexOf(type as typeof TYPES[number]);
  const memory: Record<string, Deno.PointerObject> = {};
  const upload = (name: string, values: ArrayLike<number>, as: Element) => {
    const bytes = fromNumbers(values, as);
    memory[name] = context.alloc(bytes.byteLength);
    context.upload(memory[name], bytes);
  };
  try {
    // Inputs, nan wherever nothing may be read
    const held: Record<string, Float64Array> = { ...tensors, dO };
    for (const [buffer, n] of Object.entries(sizes)) {
      const isInput = Object.keys(held).some((name) => places[name].buffer === buffer);
      const values = new Float64Array(n).fill(isInput ? NaN : UNTOUCHED);
      for (const [name, dense] of Object.entries(held)) {
        if (places[name].buffer !== buffer) continue;
        eachElement(places[name], B, (i, at) => values[at] = dense[i]);
      }
      if (isInput && !given.fused) hideUnseen(shape, places, buffer, values);
      upload(buffer, values, type);
    }
    const rows = Array.from({ length: B * Tq }, (_, i) => shape.limits(Math.floor(i / Tq), i % Tq));
    upload("begin", rows.map(([begin]) => begin), "i32");
    upload("end", rows.map(([, end]) => end), "i32");
    upload("lse", new Float64Array(B * H * Tq).fill(UNTOUCHED), "f32");
    const slopes = Array.from({ length: H }, (_, h) => shape.slope?.(h) ?? 0);
    upload("slope", slopes, "f32");
    const address = (name: string): Pointer =>
      offset(memory[places[name].buffer], places[name].at * size);
    const slope = shape.slope ? memory.slope : null;
    const { q, k, o, dq, dk } = places;
    context.attentionForward(
      ...[address("q"), address("k"), address("v"), memory.begin, memory.end, slope] as const,
      ...[address("o"), memory.lse, B, Tq, Tk, H, G, K, q.rowStride, k.rowStride] as const,
      ...[k.batchStride, o.rowStride, scale, dropout, SEED, algorithm, dtype] as const,
    );
    context.attentionBackward(
      ...[address("dO"), address("q"), address("k"), address("v"), address("o")] as const,
      ...[memory.lse, memory.begin, memory.end, slope] as const,
      ...[address("dq"), address("dk"), address("dv"), B, Tq, Tk, H, G, K] as const,
      ...[q.rowStride, k.rowStride, k.batchStride, o.rowStride] as const,
      ...[dq.rowStride, dk.rowStride, dk.batchStride, scale] as const,
      ...[dropout, SEED, algorithm, dtype] as const,
    );
    const download = (name: string, n: number, as: Element) => {
      const bytes = fromNumbers(new Float64Array(n), as);
      context.download(bytes, memory[name]);
      return toNumbers(bytes, as);
    };
    const result: Partial<Result> = { lse: download("lse", B * H * Tq, "f32") };
    const outputs = ["o", "dq", "dk", "dv"] as const;
    for (const buffer of new Set(outputs.map((name) => places[name].buffer))) {
      const values = download(buffer, sizes[buffer], type);
      const isWritten = new Uint8Array(values.length);
      for (const name of outputs.filter((name) => places[name].buffer === buffer)) {
        const dense = result[name] = new Float64Array(B * places[name].T * places[name].width);
        eachElement(places[name], B, (i, at) => {
          dense[i] = values[at];
          isWritten[at] = 1;
        });
      }
      values.forEach((v, i) => {
        if (!isWritten[i] && v !== UNTOUCHED) {
          assert(false, `${given.title}: a gap must be ${UNTOUCHED}, found ${v}`);
        }
      });
    }
    return result as Result;
  } finally {
    Object.values(memory).forEach((block) => context.free(block));
  }
}

/** Makes keys before the first and after the last that a sequence sees nan. */
function hideUnseen(
  { B, Tq, limits }: Shape,
  places: Record<string, Place>,
  buffer: string,
  values: Float64Array,
): void {
  if (buffer !== "k" && buffer !== "v") return;
  const { T, width, at, batchStride, rowStride } = places[buffer];
  for (let b = 0; b < B; b++) {
    for (let j = 0; j < T; j++) {
      if (j >= limits(b, 0)[0] && j < limits(b, Tq - 1)[1]) continue;
      const row = at + b * batchStride + j * rowStride;
      values.fill(NaN, row, row + width);
    }
  }
}

/** Normal numbers that `type` can hold. */
export function random(n: number, seed: number, type: Element): Float64Array {
  const next = normal(seed);
  return toNumbers(fromNumbers(Float64Array.from({ length: n }, next), type), type);
}

// Of 16 bits, o is rounded before <do, o> is formed of it, and p may be before it is multiplied.
const TOLERANCE = { f32: 1e-5, bf16: 2 ** -6, f16: 2 ** -8 };

/** Of the elements that are finite. */
function rootMeanSquare(x: Float64Array): number {
  const finite = x.filter(Number.isFinite);
  return Math.sqrt(finite.reduce((sum, v) => sum + v * v, 0) / Math.max(1, finite.length));
}

/**
 * Compares both algorithms with float64, and the bits of one context with those of another, which
 * runs in each of `settings`.
 */
export function checkCase(
  given: Case,
  one: Context,
  two: Context,
  settings: readonly Setting[],
  types: readonly Element[] = TYPES,
  algorithms: readonly (keyof typeof ALGORITHMS)[] = ["flash", "reference"],
): void {
  const shape = shapeOf(given);
  const { B, Tq, Tk, H, G, K } = shape;
  for (const type of types) {
    const x = {
      q: random(B * Tq * H * K, 1, type),
      k: random(B * Tk * G * K, 2, type),
      v: random(B * Tk * G * K, 3, type),
    };
    const dO = random(B * Tq * H * K, 4, type);
    const want: Result = { ...attention(shape, x), ...attentionGradients(shape, x, dO) };
    for (const algorithm of algorithms) {
      const code = ALGORITHMS[algorithm];
      const got = runCase(one, given, type, x, dO, code);
      for (const name of ["o", "lse", "dq", "dk", "dv"] as const) {
        const where = `${given.title}, ${algorithm}, ${type}: ${name}`;
        const tolerance = (given.slack ?? 1) *
          (name === "lse" ? 1e-5 : TOLERANCE[type as keyof typeof TOLERANCE]);
        const size = Math.max(0.5, rootMeanSquare(want[name]));
        const values = got[name];
        want[name].forEach((v, i) => {
          if (v === values[i] || Math.abs(values[i] - v) <= tolerance * (Math.abs(v) + size)) {
            return;
          }
          assert(false, `${where}[${i}] must be ${v}, found ${values[i]}`);
        });
      }
      for (const setting of settings) {
        setting.enter();
        const again = runCase(two, given, type, x, dO, code);
        setting.leave();
        for (const name of ["o", "lse", "dq", "dk", "dv"] as const) {
          const same = got[name].every((v, i) => Object.is(v, again[name][i]));
          const where = `${given.title}, ${algorithm}, ${type}, ${setting.name}: ${name}`;
          assert(same, `${where} differs in its bits from that of one thread`);
        }
      }
    }
  }
}
