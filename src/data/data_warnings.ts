/**
 * What a person should hear about the data before training on it.
 * @module
 */
import type { DataStats } from "./data_stats.ts";

/** More than this share of truncated samples is worth a warning. */
const TRUNCATED_SHARE = 0.01;

/** One sentence for each thing that is probably not meant. */
export function dataWarnings(stats: DataStats, rowLength: number): string[] {
  const warnings: string[] = [];
  const { samples, truncated, endingInEos, withoutLoss, firstWithoutLoss } = stats;
  if (truncated > TRUNCATED_SHARE * samples) {
    const share = (100 * truncated / samples).toFixed(1);
    warnings.push(
      `${truncated} of ${samples} samples (${share} %) are longer than max_seq_len ${rowLength}: ` +
        `their ends are cut off (the longest has ${stats.longest} tokens)`,
    );
  }
  if (endingInEos === 0) {
    const onlyPlain = stats.types.pretrain + stats.types.tokens === samples;
    warnings.push(
      "The end-of-sequence token is never trained: the model will not learn to stop" +
        (onlyPlain ? " (samples of type pretrain and tokens get no eos added)" : ""),
    );
  }
  if (withoutLoss > 0) {
    warnings.push(
      `${withoutLoss} of ${samples} samples train nothing: all their labels are -100 or cut off ` +
        `(the first begins on line ${firstWithoutLoss})`,
    );
  }
  return warnings;
}
