/** From ranges of a text to ranges of its ids. @module */
import type { Tokenizer } from "../tokenizer.ts";
import type { LearnedIds } from "./conversation.ts";
import type { Range } from "./jinja_template.ts";

/**
 * Encodes a text whole, and marks the ids of the ranges. An id that stands across the begin of a range
 * is marked.
 *
 * transformers 5.17 does the same but at three edges where its mask is wrong: it marks the token before
 * an empty range, only the first id of a range's last character if that has several, and all that follows a
 * range that ends in the very first id.
 *
 * @param ranges In order, not overlapping
 * @param options.marksLast Whether an id that stands across the end of a range is marked
 */
export function encodeRanges(
  tokenizer: Tokenizer,
  text: string,
  ranges: readonly Range[],
  { marksLast }: { marksLast: boolean },
): LearnedIds {
  const ids = tokenizer.encode(text), learned = new Uint8Array(ids.length);
  for (const [begin, end] of ranges) {
    if (begin >= end) continue;
    const from = idsBefore(tokenizer, ids, text, begin).whole;
    const { whole, cut } = end === text.length
      ? { whole: ids.length, cut: 0 }
      : idsBefore(tokenizer, ids, text, end);
    learned.fill(1, from, marksLast ? whole + cut : whole);
  }
  return { ids, learned };
}

/** How many ids stand for `text[0, position)`, and whether one more has its begin there. */
function idsBefore(
  tokenizer: Tokenizer,
  ids: Int32Array,
  text: string,
  position: number,
): { whole: number; cut: 0 | 1 } {
  const prefix = tokenizer.encode(text.slice(0, position));
  let k = 0;
  while (k < prefix.length && prefix[k] === ids[k]) k++;
  if (k === prefix.length) return { whole: k, cut: 0 };
  // the end of the prefix is cut otherwise in the whole text: count its characters
  const length = (part: Int32Array) => tokenizer.decode(part).length;
  const needed = length(prefix.subarray(k));
  let whole = k, reached = 0;
  while (whole < ids.length && (reached = length(ids.subarray(k, whole + 1))) <= needed) {
    whole++;
    if (reached === needed) return { whole, cut: 0 };
  }
  return { whole, cut: 1 };
}
