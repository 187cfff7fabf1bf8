/** Attention as the blocks of all families call it. @module */
import { attention, type AttentionShape, cachedAttention } from "../tensor/ops/attention.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LayerRun } from "./model.ts";

/** Widest head that the native library computes. */
export const MAX_HEAD_WIDTH = 256;

/**
 * Attention over the batch itself or, when a text is being continued, over the cache too.
 *
 * @param qkv [B*S, (H + 2G) K]
 * @param shape All but the number of sequences, which is the batch's
 * @returns [B*S, H K], or [1, H K] for a run that returns its last row
 */
export function attend(
  { tape, batch, cache, returns }: LayerRun,
  qkv: Tensor,
  shape: Omit<AttentionShape, "B">,
): Tensor {
  const whole = { B: batch.B, ...shape };
  return cache
    ? cachedAttention(tape, qkv, batch.span, whole, cache, returns ? 1 : batch.S)
    : attention(tape, qkv, batch.span, whole);
}

/**
 * What of a block's input its attention is added to: the rows that the run returns.
 *
 * @param x [B*S, D]
 * @returns x, or its last row [1, D]
 */
export function residualOf({ returns }: LayerRun, x: Tensor): Tensor {
  const [N, D] = x.shape;
  return returns ? x.view((N - 1) * D, [1, D]) : x;
}
