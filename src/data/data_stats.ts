/**
 * What a data file turned out to hold, counted while it is tokenized.
 * @module
 */
import { SAMPLE_TYPES, type SampleType } from "./sample.ts";

/** Counts over all samples of a data file. */
export interface DataStats {
  /** Number of samples. */
  samples: number;
  /** Samples of each type. */
  types: Record<SampleType, number>;
  /** Tokens in rows, padding not counted. */
  tokens: number;
  /** Positions that take loss. */
  lossTokens: number;
  /** Samples longer than a row, whose end is cut off. */
  truncated: number;
  /** Samples that train the end-of-sequence token. */
  endingInEos: number;
  /** Samples no token of which takes loss. */
  withoutLoss: number;
  /** Line of the first sample without loss. */
  firstWithoutLoss: number | undefined;
  /** Tokens of the longest sample before it is cut. */
  longest: number;
  /** lengths[i] samples have 2^i .. 2^(i+1) - 1 tokens before they are cut (0 counts as 1). */
  lengths: number[];
}

/** Nothing counted yet. */
export function emptyStats(): DataStats {
  const types = Object.fromEntries(SAMPLE_TYPES.map((type) => [type, 0]));
  return {
    samples: 0,
    types: types as Record<SampleType, number>,
    tokens: 0,
    lossTokens: 0,
    truncated: 0,
    endingInEos: 0,
    withoutLoss: 0,
    firstWithoutLoss: undefined,
    longest: 0,
    lengths: [],
  };
}

/** One sample, to be counted. */
export interface CountedSample {
  /** Its type. */
  type: SampleType;
  /** Line of the data file. */
  line: number;
  /** Tokens before it was cut. */
  fullLength: number;
  /** Tokens of a row. */
  maxLength: number;
  /** [T] labels. */
  labels: Int32Array;
  /** Positions that take loss. */
  lossTokens: number;
}

/** Counts one more sample. */
export function countSample(
  stats: DataStats,
  sample: CountedSample,
  eosId: number | undefined,
): void {
  const { type, line, fullLength, maxLength, labels, lossTokens } = sample;
  stats.samples++;
  stats.types[type]++;
  stats.tokens += labels.length;
  stats.lossTokens += lossTokens;
  if (fullLength > maxLength) stats.truncated++;
  if (eosId !== undefined && labels.includes(eosId, 1)) stats.endingInEos++; // nothing predicts the first
  if (lossTokens === 0) {
    stats.withoutLoss++;
    stats.firstWithoutLoss ??= line;
  }
  stats.longest = Math.max(stats.longest, fullLength);
  const bucket = Math.floor(Math.log2(Math.max(1, fullLength)));
  while (stats.lengths.length <= bucket) stats.lengths.push(0);
  stats.lengths[bucket]!++;
}
