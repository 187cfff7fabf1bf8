/**
 * In which order rows are trained on: pure functions of (seed, epoch, index), so a run can go on
 * from any step without replaying what came before.
 * @module
 */
import { torchRandperm } from "./torch_randperm.ts";

/**
 * The row at each place of an epoch: a permutation of 0 .. n-1 that is never stored.
 *
 * The index is written as (x, y) with x < a, y < b, a b >= n, and sent through Feistel rounds
 * x += h(y) mod a, y += h(x) mod b; a result outside 0 .. n-1 goes round again (cycle walking).
 *
 * @param n Number of rows
 * @param seed Any safe integer
 * @param epoch From 0; each has its own order
 * @param shuffle false: file order in every epoch
 * @see doi:10.1007/3-540-45760-7_9 (Black and Rogaway, Ciphers with Arbitrary Finite Domains)
 */
export function order(
  n: number,
  seed: number,
  epoch: number,
  shuffle: boolean,
): (index: number) => number {
  if (!shuffle || n < 2) return (index) => index;
  const a = Math.ceil(Math.sqrt(n)), b = Math.ceil(n / a);
  const keys = Uint32Array.from({ length: ROUNDS }, (_, round) => {
    const high = Math.floor(seed / 2 ** 32);
    return mix(mix(mix(mix(round, seed), high), epoch), 0x9e3779b9);
  });
  return (index) => {
    let place = index;
    do {
      let x = place % a, y = Math.floor(place / a);
      for (let round = 0; round < ROUNDS; round += 2) {
        x = (x + mix(keys[round]!, y)) % a;
        y = (y + mix(keys[round + 1]!, x)) % b;
      }
      place = y * a + x;
    } while (place >= n);
    return place;
  };
}

/** What decides which row goes where. */
export interface SamplerOptions {
  /** Rows of the data set. */
  rows: number;
  /** Seed of the order; the seed of gdGPT is always 0. */
  seed: number;
  /** false: file order. */
  shuffle: boolean;
  /** gdgpt: the order, the padding and the dropped tail of gdGPT's DistributedSampler. */
  compat: "none" | "gdgpt";
  /** Rows of one micro-batch (B). */
  microBatch: number;
  /** Micro-batches per optimizer step and data-parallel rank (M). */
  accumulation: number;
  /** Number of data-parallel ranks. */
  dataParallel: number;
}

/** Answers which rows a data-parallel rank trains on, for any step, in any order of asking. */
export interface Sampler {
  /** Rows per optimizer step, over all data-parallel ranks. */
  readonly batch: number;
  /** Whole optimizer steps in so many epochs; epochs may be fractional. */
  steps(epochs: number): number;
  /** Epochs that are complete when the step (from 0) begins. */
  epoch(step: number): number;
  /** Rows of one micro-batch of one data-parallel rank, [B]. */
  microBatchRows(step: number, micro: number, dataRank: number): number[];
  /** Their places in the sequence of all rows that the run trains on, epoch after epoch, [B]. */
  microBatchPlaces(step: number, micro: number, dataRank: number): number[];
}

/**
 * Makes the sampler of a run.
 *
 * Default: the epochs follow each other without a gap, every row once per epoch; row j of
 * micro-batch m of rank r in step k is at place ((k M + m) R + r) B + j: for any M, B, R the same
 * rows in a step and, for any M and R, the same rows in a micro-batch. gdgpt: rank r takes places r, r + R, ... of torch.randperm(rows) with seed
 * 0 + epoch, which is padded to a multiple of R from its start, and drops what does not fill a
 * micro-batch.
 *
 * @throws {RangeError} If gdgpt cannot fill one micro-batch per rank
 */
export function createSampler(options: SamplerOptions): Sampler {
  const { rows, seed, shuffle, compat, microBatch, accumulation, dataParallel } = options;
  const batch = microBatch * accumulation * dataParallel;
  const isCompat = compat === "gdgpt";
  const microBatches = isCompat ? Math.floor(Math.ceil(rows / dataParallel) / microBatch) : 0;
  if (isCompat && microBatches === 0) {
    throw new RangeError(
      `Cannot fill a micro-batch: ${dataParallel} data-parallel ranks with micro-batches of ` +
        `${microBatch} need more than ${rows} rows of data (compat: gdgpt)`,
    );
  }
  let cached = { epoch: -1, at: (index: number) => index };
  const at = (epoch: number, index: number): number => {
    if (cached.epoch !== epoch) {
      if (isCompat && shuffle) {
        const permutation = torchRandperm(rows, epoch);
        cached = { epoch, at: (i) => permutation[i]! };
      } else cached = { epoch, at: order(rows, seed, epoch, shuffle) };
    }
    return cached.at(index);
  };
  const placeOf = (turn: number, j: number, rank: number) =>
    // turn = k M + m
    isCompat
      ? (turn * microBatch + j) * dataParallel + rank
      : (turn * dataParallel + rank) * microBatch + j;
  const row = (turn: number, j: number, rank: number): number => {
    if (isCompat) {
      const place = placeOf(turn % microBatches, j, rank);
      return at(Math.floor(turn / microBatches), place % rows);
    }
    const place = placeOf(turn, j, rank);
    return at(Math.floor(place / rows), place % rows);
  };
  const each = (step: number, micro: number, rank: number, of: typeof row) =>
    Array.from({ length: microBatch }, (_, j) => of(step * accumulation + micro, j, rank));
  return {
    batch,
    steps: (epochs) => Math.floor(epochs * rows / batch),
    epoch: (step) =>
      isCompat ? Math.floor(step * accumulation / microBatches) : Math.floor(step * batch / rows),
    microBatchRows: (step, micro, dataRank) => each(step, micro, dataRank, row),
    microBatchPlaces: (step, micro, dataRank) => each(step, micro, dataRank, placeOf),
  };
}

const ROUNDS = 8;

/** 32 bits out of a key and a number: the finalizer of MurmurHash3. */
function mix(key: number, value: number): number {
  let h = (key ^ Math.imul(value | 0, 0x85ebca6b)) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
