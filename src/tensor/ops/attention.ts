/** Softmax attention over fused query/key/value rows. @module */
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
}

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
 * Attention with online softmax: o = softmax(scale q k^T + slope (j - t)) v over the visible keys.
 *
 * @param qkv [B*S, (H + 2G) K]: queries of all heads, then keys, then values
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
  const [N, W] = qkv.shape;
  const S = N / B;
  const scale = shape.scale ?? 1 / Math.sqrt(K);
  const slopes = shape.slopes?.ptr ?? null;
  const o = tape.empty([N, H * K], qkv.dtype);
  const lse = tape.empty([B, H, S], "f32");
  const [keys, values] = [H * K, (H + G) * K];
  tape.kernels.attentionForward(
    qkv.ptr,
    qkv.at(keys),
    qkv.at(values),
    span.begin.ptr,
    span.end.ptr,
    slopes,
    o.ptr,
    tape.mode === "train" ? lse.ptr : null,
    B,
    S,
    S,
    H,
    G,
    K,
    W,
    W,
    S * W,
    H * K,
    scale,
    qkv.code,
  );
  return tape.record(o, (dy) => {
    const { tensor: d, accumulate } = tape.gradient(qkv);
    if (accumulate) throw new TypeError("Cannot use the input of attention in another op");
    tape.kernels.attentionBackward(
      dy.ptr,
      qkv.ptr,
      qkv.at(keys),
      qkv.at(values),
      o.ptr,
      lse.ptr,
      span.begin.ptr,
      span.end.ptr,
      slopes,
      d.ptr,
      d.at(keys),
      d.at(values),
      B,
      S,
      S,
      H,
      G,
      K,
      W,
      W,
      S * W,
      H * K,
      W,
      W,
      S * W,
      scale,
      qkv.code,
    );
  });
}

/**
 * Attention of new positions over a cache, to which their keys and values are added first.
 * There is no backward.
 *
 * @param qkv [B*S, (H + 2G) K] of the S new positions
 * @param span [B*S], in positions of the cache
 * @returns [B*S, H K], dtype of qkv
 * @throws {RangeError} If the cache is full
 */
export function cachedAttention(
  tape: Tape,
  qkv: Tensor,
  span: AttentionSpan,
  shape: AttentionShape,
  cache: KeyValueCache,
): Tensor {
  const { B, H, G, K } = shape;
  const [N, W] = qkv.shape;
  const S = N / B;
  if (cache.length + S > cache.capacity) {
    throw new RangeError(
      `Cannot attend as the cache holds ${cache.capacity} positions: ` +
        `${cache.length + S} are needed`,
    );
  }
  const row = 2 * G * K;
  const bytes = (elements: number) => elements * (qkv.bytes / qkv.size);
  for (let b = 0; b < B; b++) {
    tape.kernels.copyRows(
      cache.rows.at((b * cache.capacity + cache.length) * row),
      qkv.at(b * S * W + H * K),
      S,
      bytes(row),
      bytes(row),
      bytes(W),
    );
  }
  const o = tape.empty([N, H * K], qkv.dtype);
  tape.kernels.attentionForward(
    qkv.ptr,
    cache.rows.ptr,
    cache.rows.at(G * K),
    span.begin.ptr,
    span.end.ptr,
    shape.slopes?.ptr ?? null,
    o.ptr,
    null,
    B,
    S,
    cache.length + S,
    H,
    G,
    K,
    W,
    row,
    cache.capacity * row,
    H * K,
    shape.scale ?? 1 / Math.sqrt(K),
    qkv.code,
  );
  return o;
}
