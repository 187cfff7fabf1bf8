/** Positions and visible keys of a micro-batch, and its way to the device. @module */
import type { Tape } from "../tensor/tape.ts";
import type { DeviceBatch, SpanRule } from "./model.ts";

/** A micro-batch in host memory. */
export interface HostBatch {
  /** Sequences. */
  B: number;
  /** Positions of each sequence. */
  S: number;
  /** [B*S] tokens. */
  ids: Int32Array;
  /** [B*S] number of the sample a token belongs to, from 1 in each sequence; 0 for padding. */
  segments: Int32Array;
}

/** Positions and visible keys, each [B*S]. */
export interface Spans {
  /** Position of the token in its sample; 0 for padding. */
  positions: Int32Array;
  /** First visible key. */
  begin: Int32Array;
  /** One past the last visible key. */
  end: Int32Array;
}

/**
 * Causal attention inside each sample. Padding on the right sees the whole sample before it (what a
 * causal mask with hidden padding gives; it counts in the seed's z-loss), padding on the left nothing.
 * `rule` tells what a family does differently; padding of a row with several samples sees the last.
 */
export function causalSpans(
  { B, S, segments }: Omit<HostBatch, "ids">,
  { window = Infinity, positions: origin, padding }: SpanRule = {},
): Spans {
  const positions = new Int32Array(B * S);
  const begin = new Int32Array(B * S);
  const end = new Int32Array(B * S);
  for (let b = 0; b < B; b++) {
    let [segment, first, last] = [0, 0, 0]; // the latest sample is [first, last)
    for (let t = 0; t < S; t++) {
      const n = b * S + t;
      if (segments[n] !== 0) {
        if (segments[n] !== segment) [segment, first] = [segments[n], t];
        last = t + 1;
        positions[n] = t - first;
      }
      begin[n] = Math.max(first, Math.min(last, t + 1 - window));
      end[n] = last;
      if (origin === "row") positions[n] = t;
      if (padding === "sees the row" && last > 0 && segments[n] === 0) end[n] = S;
    }
  }
  return { positions, begin, end };
}

/** Uploads a micro-batch into the memory of the tape. */
export function uploadBatch(tape: Tape, batch: HostBatch, spans = causalSpans(batch)): DeviceBatch {
  const { B, S } = batch;
  return {
    B,
    S,
    ids: tape.constant(batch.ids, [B * S]),
    positions: tape.constant(spans.positions, [B * S]),
    span: {
      begin: tape.constant(spans.begin, [B * S]),
      end: tape.constant(spans.end, [B * S]),
    },
  };
}
