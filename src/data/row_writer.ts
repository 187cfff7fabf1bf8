/**
 * From samples in file order to rows of a token file: one sample a row, or several packed.
 * @module
 */
import { ConfigError } from "../config/config_error.ts";
import { packRows } from "./pack_rows.ts";
import type { Segment, TokenFileWriter } from "./token_file.ts";

/** Samples are packed among so many neighbours ... */
const WINDOW_SAMPLES = 32768;
/** ... or so many tokens (8 bytes each in memory), whichever comes first. */
const WINDOW_TOKENS = 4 << 20;

/** How rows are made. */
export interface RowOptions {
  /** Tokens of a row (S). */
  rowLength: number;
  /** Several samples per row. */
  packing: boolean;
  /** Id that fills rows; undefined: a row that must be filled is an error. */
  padId: number | undefined;
}

/** Takes samples one by one and writes rows; memory is one packing window. */
export class RowWriter {
  readonly #file: TokenFileWriter;
  readonly #options: RowOptions;
  #window: Segment[] = [];
  #windowTokens = 0;

  /** Rows go to `file`. */
  constructor(file: TokenFileWriter, options: RowOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** Takes the next sample, at most a row long. Keeps the arrays. */
  add(sample: Segment): void {
    if (!this.#options.packing) {
      this.#write(sample.ids.length > 0 ? [sample] : []);
      return;
    }
    this.#window.push(sample);
    this.#windowTokens += sample.ids.length;
    if (this.#window.length >= WINDOW_SAMPLES || this.#windowTokens >= WINDOW_TOKENS) this.end();
  }

  /** Writes what waits to be packed. */
  end(): void {
    const window = this.#window;
    this.#window = [];
    this.#windowTokens = 0;
    for (const row of packRows(window.map((s) => s.ids.length), this.#options.rowLength)) {
      this.#write(row.map((i) => window[i]!));
    }
  }

  #write(segments: Segment[]): void {
    const { rowLength, padId } = this.#options;
    const tokens = segments.reduce((sum, s) => sum + s.ids.length, 0);
    if (tokens < rowLength && padId === undefined) {
      throw new ConfigError(
        `Cannot fill row ${this.#file.rows}: it has ${tokens} of ${rowLength} tokens and needs ` +
          `padding, but the tokenizer has neither pad_token nor unk_token (set pad_token in ` +
          `tokenizer_config.json, or pad_token_id in config.json)`,
      );
    }
    this.#file.row(segments);
  }
}
