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
 * @returns [B*S, H K]
 */
export function attend(
  { tape, batch, cache }: LayerRun,
  qkv: Tensor,
  shape: Omit<AttentionShape, "B">,
): Tensor {
  const whole = { B: batch.B, ...shape };
  return cache
    ? cachedAttention(tape, qkv, batch.span, whole, cache)
    : attention(tape, qkv, batch.span, whole);
}
