/** Softmax attention over fused query/key/value rows. @module */
import type { AttentionAlgorithm } from "../device.ts";
import type { Dropout } from "./dropout.ts";
import type { Tensor } from "../tensor.ts";
import type { Tape } from "../tape.ts";

/** Which keys each query sees: key j of its sequence when begin <= j < end. */
export interface AttentionSpan {
  /** [B * S] i32, weakly growing along each sequence. */
  begin: Tensor;
  /** [B * S] i32, weakly growing along each sequence. */
  end: Tensor;
}

/** Sizes of an attention op. */
export interface AttentionShape {
  /** Sequences. */
  B: number;
  /** Query heads. */
  H: number;
  /** Key/value heads; head h reads h / (H/G). */
  G: number;
  /** Width of a head. */
  K: number;
  /** Factor of the scores; default 1 / sqrt(K). */
  scale?: number;
  /** [H] f32, slopes of ALiBi. */
  slopes?: Tensor;
  /** How queries, keys and values stand in memory; default rows. */
  layout?: AttentionLayout;
  /** What is dropped of the probabilities; nothing when left out. */
  dropout?: Dropout | undefined;
}

/** `LP_ATTENTION_FLASH` and `LP_ATTENTION_REFERENCE`. */
const ALGORITHM: Record<AttentionAlgorithm, number> = { flash: 0, reference: 1 };

/** Where attention finds the queries, keys and values of N tokens in [N, (H + 2G) K]. */
export type AttentionLayout =
  /** Each row: queries of all heads, then keys, then values. */
  | "rows"
  /** The queries [N, H, K] of all tokens, then the keys [N, G, K], then the values [N, G, K]. */
  | "blocks";

/** Keys and values of earlier positions, for generation. */
export interface KeyValueCache {
  /** [B, capacity, 2, G, K]: per position the keys of all heads, then the values. */
  rows: Tensor;
  /** Positions a sequence can hold. */
  capacity: number;
  /** Positions held before this call; the call adds its own. */
  length: number;
}

/**
 * Attention: o = softmax(scale q k^T + slope (j - t)) v over the visible keys, of which dropout
 * keeps some probabilities.
 *
 * @param qkv [B*S, (H + 2G) K] as shape.layout says
 * @returns [B*S, H K], dtype of qkv
 * @see arXiv:2205.14135
 */
export function attention(
  tape: Tape,
  qkv: Tensor,
  span: AttentionSpan,
  shape: AttentionShape,
): Tensor {
  const { B, H, G, K } = shape;
  const [N] = qkv.shape;
  const S = N / B;
  const { keys, values, qStride, kvStride } = place(N, shape);
  const scale = shape.scale ?? 1 / Math.sqrt(K);
  const slopes = shape.slopes?.ptr ?? null;
  const algorithm = ALGORITHM[tape.device.attention];
  const o = tape.empty([N, H * K], qkv.dtype);
  const lse = tape.empty([B, H, S], "f32");
  for (const { b, count, p, seed } of runsOf(shape)) {
    const query = b * S * qStride, key = keys + b * S * kvStride, value = values + b * S * kvStride;
    tape.kernels.attentionForward(
      qkv.at(query),
      qkv.at(key),
      qkv.at(value),
      span.begin.at(b * S),
      span.end.at(b * S),
      slopes,
      o.at(b * S * H * K),
      tape.mode === "train" ? lse.at(b * H * S) : null,
      count,
      S,
      S,
      H,
      G,
      K,
      qStride,
      kvStride,
      S * kvStride,
      H * K,
      scale,
      p,
      seed,
      algorithm,
      qkv.code,
    );
  }
  return tape.record(o, (dy) => {
    const { tensor: d, accumulate } = tape.gradient(qkv);
    if (accumulate) throw new TypeError("Cannot use the input of attention in another op");
    for (const { b, count, p, seed } of runsOf(shape)) {
      const query = b * S * qStride, key = keys + b * S * kvStride;
      const value = values + b * S * kvStride;
      tape.kernels.attentionBackward(
        dy.at(b * S * H * K),
        qkv.at(query),
        qkv.at(key),
        qkv.at(value),
        o.at(b * S * H * K),
        lse.at(b * H * S),
        span.begin.at(b * S),
        span.end.at(b * S),
        slopes,
        d.at(query),
        d.at(key),
        d.at(value),
        count,
        S,
        S,
        H,
        G,
        K,
        qStride,
        kvStride,
        S * kvStride,
        H * K,
        qStride,
        kvStride,
        S * kvStride,
        scale,
        p,
        seed,
        algorithm,
        qkv.code,
      );
    }
  });
}

/**
 * Attention of new positions over a cache, to which the keys and values of all are added first.
 * There is no backward.
 *
 * @param qkv [B*S, (H + 2G) K] of the S new positions, as shape.layout says
 * @param span [B*S], in positions of the cache
 * @param queries The last so many of the S positions are answered: S, or fewer if B is 1
 * @returns [B*queries, H K], dtype of qkv
 * @throws {RangeError} If the cache is full, or queries are none of those
 */
export function cachedAttention(
  tape: Tape,
  qkv: Tensor,
  span: AttentionSpan,
  shape: AttentionShape,
  cache: KeyValueCache,
  queries: number,
): Tensor {
  const { B, H, G, K } = shape;
  const [N] = qkv.shape;
  const S = N / B;
  const { keys, values, qStride, kvStride } = place(N, shape);
  if (cache.length + S > cache.capacity) {
    throw new RangeError(
      `Cannot attend as the cache holds ${cache.capacity} positions: ` +
        `${cache.length + S} are needed`,
    );
  }
  if (queries !== S && (B > 1 || queries > S || queries < 1)) {
    throw new RangeError(`Cannot answer ${queries} of ${S} positions of ${B} sequences`);
  }
  const row = 2 * G * K;
  const bytes = (elements: number) => elements * (qkv.bytes / qkv.size);
  for (let b = 0; b < B; b++) {
    for (const [i, from] of [keys, values].entries()) {
      tape.kernels.copyRows(
        cache.rows.at((b * cache.capacity + cache.length) * row + i * G * K),
        qkv.at(from + b * S * kvStride),
        S,
        bytes(G * K),
        bytes(row),
        bytes(kvStride),
      );
    }
  }
  const first = S - queries;
  const o = tape.empty([B * queries, H * K], qkv.dtype);
  tape.kernels.attentionForward(
    qkv.at(first * qStride),
    cache.rows.ptr,
    cache.rows.at(G * K),
    span.begin.at(first),
    span.end.at(first),
    shape.slopes?.ptr ?? null,
    o.ptr,
    null,
    B,
    queries,
    cache.length + S,
    H,
    G,
    K,
    qStride,
    row,
    cache.capacity * row,
    H * K,
    shape.scale ?? 1 / Math.sqrt(K),
    0,
    0n,
    ALGORITHM[tape.device.attention],
    qkv.code,
  );
  return o;
}

/** The sequences of each call: all at once, or one by one where each has its own mask. */
function runsOf({ B, dropout }: AttentionShape) {
  if (!dropout) return [{ b: 0, count: B, p: 0, seed: 0n }];
  return dropout.seeds.map((seed, b) => ({ b, count: 1, p: dropout.p, seed }));
}

/** Elements to the first key and value, and between tokens. */
function place(N: number, { H, G, K, layout = "rows" }: AttentionShape) {
  const W = (H + 2 * G) * K;
  if (layout === "rows") return { keys: H * K, values: (H + G) * K, qStride: W, kvStride: W };
  return { keys: N * H * K, values: N * (H + G) * K, qStride: H * K, kvStride: G * K };
}
