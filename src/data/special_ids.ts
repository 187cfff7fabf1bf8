/**
 * The ids that data handling itself puts or looks for: padding and end of sequence.
 * @module
 */
import type { ModelVocabulary } from "./model_vocabulary.ts";
import { LazyTokenizer } from "./tokenize_span.ts";

/** Ids of the tokens that stand for no text. */
export interface SpecialIds {
  /** Fills rows; undefined: rows cannot be filled. */
  padId: number | undefined;
  /** Ends a sequence. */
  eosId: number | undefined;
  /** Whether the tokenizer was asked. */
  isText: boolean;
}

/**
 * Padding is the tokenizer's pad token, else its unk token, else config.json's. Where there are
 * only `tokens` samples no tokenizer is loaded and any padding does (0), as it is masked.
 *
 * @param isText Whether any sample is text
 */
export function specialIds(known: ModelVocabulary, isText: boolean): SpecialIds {
  if (!isText) return { padId: known.padId ?? 0, eosId: known.eosId, isText };
  const tokenizer = new LazyTokenizer(known.dir).get();
  return {
    padId: tokenizer.padId ?? tokenizer.unkId ?? known.padId,
    eosId: tokenizer.eosId ?? known.eosId,
    isText,
  };
}
