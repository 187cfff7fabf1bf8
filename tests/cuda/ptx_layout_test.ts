/**
 * The special instructions of csrc/cuda/gpu.h against the tables of the PTX ISA: every element of
 * every lane. What runs is csrc/cuda/tile_probe.cu, emulated or, with "cuda" among
 * LLMPIPE_TEST_BACKENDS, on a GPU.
 * @module
 */
import { assertEquals } from "@std/assert";
import type { Backend } from "../../ffi/library.ts";
import { BACKENDS, isAvailable } from "../ops/check_op.ts";
import { fromNumbers } from "../ops/element.ts";
import { libraryOf } from "../ops/emulation.ts";
import {
  ELEMENTS,
  laneOfAddress,
  type Place,
  placeOfA,
  placeOfB,
  placeOfC,
  placeOfLoad,
} from "./ptx_tables.ts";

const KINDS = { bf16: 0, f16: 1, ldmatrix: 2, ldmatrixTransposed: 3, copies: 4, copyGroups: 5 };
const LANES = Array.from({ length: 32 }, (_, lane) => lane);

const SYMBOLS = {
  lp_probe_tiles: { parameters: ["i32", "i32", "buffer", "buffer"], result: "i32" },
} as const;

/** Runs problems of 32 lanes each; four words of every lane come back. */
function probe(backend: Backend, kind: number, problems: number, input: Uint32Array<ArrayBuffer>) {
  using library = new Probe(backend);
  const output = new Uint32Array(problems * 32 * 4);
  assertEquals(library.run(kind, problems, input, output), 0);
  return output;
}

class Probe implements Disposable {
  #library;
  constructor(backend: Backend) {
    this.#library = Deno.dlopen(libraryOf(backend), SYMBOLS);
  }
  run(
    kind: number,
    problems: number,
    input: Uint32Array<ArrayBuffer>,
    output: Uint32Array<ArrayBuffer>,
  ): number {
    return this.#library.symbols.lp_probe_tiles(kind, problems, input, output);
  }
  [Symbol.dispose]() {
    this.#library.close();
  }
}

/** A matrix by its elements. */
type Matrix = (place: Place) => number;

/** One product: what each lane's registers hold of A, B and C. */
interface Product {
  A: (lane: number, i: number) => number;
  B: (lane: number, i: number) => number;
  C: (lane: number, i: number) => number;
}

/** Registers of the lanes of all products, packed as the instruction takes them. */
function pack(products: Product[], type: "bf16" | "f16"): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(products.length * 32 * 10);
  products.forEach(({ A, B, C }, p) => {
    for (const lane of LANES) {
      const numbers = [
        ...Array.from({ length: ELEMENTS.A }, (_, i) => A(lane, i)),
        ...Array.from({ length: ELEMENTS.B }, (_, i) => B(lane, i)),
      ];
      const halves = fromNumbers(numbers, type) as Uint16Array;
      const at = (p * 32 + lane) * 10;
      for (let r = 0; r < 6; r++) words[at + r] = halves[2 * r] | halves[2 * r + 1] << 16;
      const sums = Float32Array.from({ length: ELEMENTS.C }, (_, i) => C(lane, i));
      words.set(new Uint32Array(sums.buffer), at + 6);
    }
  });
  return words;
}

/** 1 in one element of one lane, 0 elsewhere. */
function only(lane: number, i: number) {
  return (l: number, j: number) => l === lane && j === i ? 1 : 0;
}

const zero = () => 0;
// Whole numbers up to 256, which bf16 holds, all different within a matrix
const a: Matrix = ({ row, col }) => 1 + row * 16 + col;
const b: Matrix = ({ row, col }) => 1 + row * 8 + col;
const c: Matrix = ({ row, col }) => 1000 + row * 8 + col;

for (const backend of BACKENDS.filter((name) => name !== "cpu")) {
  const ignore = !isAvailable(backend);

  for (const type of ["bf16", "f16"] as const) {
    Deno.test({
      name: `mma.m16n8k16 of ${type} has its fragments where the PTX ISA has them (${backend})`,
      ignore,
      fn: () => {
        const products: Product[] = [];
        const wanted: Matrix[] = [];
        for (const lane of LANES) {
          // One element of A picks a row of B; one of B a column of A; one of C itself
          for (let i = 0; i < ELEMENTS.A; i++) {
            const one = placeOfA(lane, i);
            products.push({ A: only(lane, i), B: (l, j) => b(placeOfB(l, j)), C: zero });
            wanted.push(({ row, col }) => row === one.row ? b({ row: one.col, col }) : 0);
          }
          for (let i = 0; i < ELEMENTS.B; i++) {
            const one = placeOfB(lane, i);
            products.push({ A: (l, j) => a(placeOfA(l, j)), B: only(lane, i), C: zero });
            wanted.push(({ row, col }) => col === one.col ? a({ row, col: one.row }) : 0);
          }
        }
        products.push({
          A: (l, j) => a(placeOfA(l, j)),
          B: (l, j) => b(placeOfB(l, j)),
          C: (l, j) => c(placeOfC(l, j)),
        });
        wanted.push(({ row, col }) => {
          let sum = c({ row, col });
          for (let k = 0; k < 16; k++) sum += a({ row, col: k }) * b({ row: k, col });
          return sum;
        });
        const input = pack(products, type);
        const found = new Float32Array(
          probe(backend, KINDS[type], products.length, input).buffer,
        );
        wanted.forEach((want, p) => {
          for (const lane of LANES) {
            for (let i = 0; i < ELEMENTS.C; i++) {
              const at = (p * 32 + lane) * 4 + i;
              assertEquals(found[at], want(placeOfC(lane, i)), `problem ${p}, lane ${lane}, d${i}`);
            }
          }
        });
      },
    });
  }

  for (const isTransposed of [false, true]) {
    Deno.test({
      name: `ldmatrix.x4${isTransposed ? ".trans" : ""} gives each lane the elements that the ` +
        `PTX ISA says (${backend})`,
      ignore,
      fn: () => {
        // Row s of shared memory holds 8 halves 8 s .. 8 s + 7; lane l gives the address of a row
        // that is not its own, as rows of a matrix need not follow each other
        const rowOf = (lane: number) => (lane * 13 + 5) % 32;
        const input = new Uint32Array(32 * 5);
        for (const lane of LANES) {
          for (let w = 0; w < 4; w++) {
            const low = lane * 8 + w * 2;
            input[lane * 5 + w] = low | low + 1 << 16;
          }
          input[lane * 5 + 4] = rowOf(lane);
        }
        const kind = isTransposed ? KINDS.ldmatrixTransposed : KINDS.ldmatrix;
        const found = probe(backend, kind, 1, input);
        for (const lane of LANES) {
          for (let m = 0; m < 4; m++) {
            for (const half of [0, 1]) {
              const { row, col } = placeOfLoad(lane, half, isTransposed);
              const want = rowOf(laneOfAddress(m, row)) * 8 + col;
              const got = found[lane * 4 + m] >>> half * 16 & 0xffff;
              assertEquals(got, want, `lane ${lane}, matrix ${m}, half ${half}`);
            }
          }
        }
      },
    });
  }

  for (const inGroups of [false, true]) {
    Deno.test({
      name:
        `cp.async copies 16 bytes, or zeros when it is told to read none, by the wait for its ` +
        `group: ${inGroups ? "two groups" : "one group"} (${backend})`,
      ignore,
      fn: () => {
        // Bytes of dst beyond src-size, of which there are cp-size, are filled with zeros
        const rowOf = (lane: number) => inGroups ? lane : (lane * 7 + 3) % 32;
        const isValid = (lane: number) => lane % 3 !== 1;
        const input = new Uint32Array(32 * 6);
        for (const lane of LANES) {
          for (let w = 0; w < 4; w++) input[lane * 6 + w] = 0x1000 * (lane + 1) + w;
          input[lane * 6 + 4] = rowOf(lane);
          input[lane * 6 + 5] = Number(isValid(lane));
        }
        const found = probe(backend, inGroups ? KINDS.copyGroups : KINDS.copies, 1, input);
        for (const lane of LANES) {
          for (let w = 0; w < 4; w++) {
            const want = isValid(lane) ? 0x1000 * (lane + 1) + w : 0;
            assertEquals(found[rowOf(lane) * 4 + w], want, `lane ${lane}, word ${w}`);
          }
        }
      },
    });
  }
}
