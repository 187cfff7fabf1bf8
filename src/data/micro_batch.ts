/**
 * Rows of the data set as one micro-batch, with shifted targets.
 * @module
 */

/** Where rows come from: a TokenDataset, or anything that fills rows like one. */
export interface RowSource {
  /** Tokens of a row. */
  readonly S: number;
  /** Overwrites ids, unshifted labels and segments, each [S]. */
  fill(row: number, ids: Int32Array, labels: Int32Array, segments: Int32Array): void;
}

/** One micro-batch; arrays are [B, S], row by row. */
export interface MicroBatch {
  /** Rows. */
  B: number;
  /** Tokens of a row. */
  S: number;
  /** [B, S] token ids. */
  ids: Int32Array;
  /** [B, S] what position t predicts: label t + 1 of the same sample, else -100. */
  targets: Int32Array;
  /** [B, S] 1, 2, ... = sample of the row, 0 = padding. */
  segments: Int32Array;
  /** Targets that are not -100. */
  lossTokens: number;
  /** Positions that are not padding. */
  tokens: number;
}

/** Room for a micro-batch, to be loaded again and again. */
export function allocateMicroBatch(B: number, S: number): MicroBatch {
  const array = () => new Int32Array(B * S);
  return { B, S, ids: array(), targets: array(), segments: array(), lossTokens: 0, tokens: 0 };
}

/**
 * Loads rows and shifts their labels: the last position of each sample predicts nothing.
 *
 * @param rows Numbers of the rows, [B]
 * @param into Overwritten and returned; made when left out
 * @throws {RangeError} If `into` is not [rows.length, S]
 */
export function loadMicroBatch(
  source: RowSource,
  rows: ArrayLike<number>,
  into: MicroBatch = allocateMicroBatch(rows.length, source.S),
): MicroBatch {
  const { B, S } = into;
  if (B !== rows.length || S !== source.S) {
    throw new RangeError(
      `Cannot load rows [${rows.length}, ${source.S}] into a micro-batch [${B}, ${S}]`,
    );
  }
  into.lossTokens = into.tokens = 0;
  for (let b = 0; b < B; b++) {
    const at = b * S;
    const targets = into.targets.subarray(at, at + S);
    const segments = into.segments.subarray(at, at + S);
    source.fill(rows[b]!, into.ids.subarray(at, at + S), targets, segments);
    for (let t = 0; t < S; t++) {
      const isInside = t + 1 < S && segments[t] !== 0 && segments[t] === segments[t + 1];
      const target = isInside ? targets[t + 1]! : -100;
      targets[t] = target;
      if (target !== -100) into.lossTokens++;
      if (segments[t] !== 0) into.tokens++;
    }
  }
  return into;
}
