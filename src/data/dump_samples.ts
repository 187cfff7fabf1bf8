/**
 * The samples of a data file as rows of gdGPT's dataset: one per sample, padded on the right.
 * @module
 */
import { ConfigError } from "../config/config_error.ts";
import { modelVocabulary } from "./model_vocabulary.ts";
import { SAMPLE_TYPES } from "./sample.ts";
import { type SpecialIds, specialIds } from "./special_ids.ts";
import { tokenizeFile } from "./tokenize_file.ts";
import type { TokenizeTask } from "./tokenize_span.ts";

/** One sample, every list max_seq_len long. */
export interface DumpedSample {
  /** Token ids. */
  input_ids: number[];
  /** 1 for tokens, 0 for padding. */
  attention_mask: number[];
  /** Unshifted labels, -100 = no loss. */
  labels: number[];
}

/**
 * Yields every sample in file order.
 *
 * @throws {ConfigError} If a sample is broken, or must be padded and there is no padding token
 */
export async function* dumpSamples(task: TokenizeTask): AsyncGenerator<DumpedSample> {
  const vocabulary = modelVocabulary(task.modelPath);
  let special: SpecialIds | undefined;
  for await (const { tokens } of tokenizeFile(task, navigator.hardwareConcurrency)) {
    const { types, starts, lines } = tokens;
    for (let i = 0; i < types.length; i++) {
      const isText = SAMPLE_TYPES[types[i]!] !== "tokens";
      if (special === undefined || (isText && !special.isText)) {
        special = specialIds(vocabulary, isText);
      }
      const from = starts[i]!, to = starts[i + 1]!;
      const missing = task.maxLength - (to - from);
      if (missing > 0 && special.padId === undefined) {
        throw new ConfigError(
          `Cannot pad the sample on line ${lines[i]} of ${task.dataPath}: the tokenizer has ` +
            `neither pad_token nor unk_token (set pad_token in tokenizer_config.json)`,
        );
      }
      const padded = (values: Int32Array, rest: number) => [
        ...values.subarray(from, to),
        ...new Array<number>(missing).fill(rest),
      ];
      yield {
        input_ids: padded(tokens.ids, special.padId ?? 0),
        attention_mask: [...new Array(to - from).fill(1), ...new Array(missing).fill(0)],
        labels: padded(tokens.labels, -100),
      };
    }
  }
}
