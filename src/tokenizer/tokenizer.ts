/** What every tokenizer can do, whatever file it came from. @module */

/** How text becomes ids. */
export interface EncodeOptions {
  /** Adds what the tokenizer puts around a sequence (BOS, EOS, a template). Default: false. */
  special?: boolean;
}

/** How ids become text. */
export interface DecodeOptions {
  /** Leaves special tokens out. Default: false. */
  skipSpecial?: boolean;
}

/** Decodes ids as they come; the pieces joined are what `decode` gives for all of them. */
export interface DecodeStream {
  /** Text that is certain after this id; "" while a character or a run of bytes is incomplete. */
  push(id: number): string;
  /** The rest. The stream is then empty and can be used again. */
  end(): string;
}

/** Text to ids and back. Not safe to share between threads: each worker loads its own. */
export interface Tokenizer {
  /** Every id is smaller, those of added tokens included. */
  readonly vocabSize: number;
  /** Id of the token that begins a sequence. */
  readonly bosId: number | undefined;
  /** Id of the token that ends a sequence. */
  readonly eosId: number | undefined;
  /** Id that fills rows; undefined when the files name none. */
  readonly padId: number | undefined;
  /** Id of what is not in the vocabulary. */
  readonly unkId: number | undefined;
  /** Text of the token that ends a sequence. */
  readonly eosText: string | undefined;
  /**
   * Encodes a text; special tokens written in it become their ids as the model's own tokenizer has it.
   *
   * @returns Ids, a copy that is the caller's
   */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /**
   * Decodes ids. What is not UTF-8 becomes U+FFFD.
   *
   * @throws {RangeError} If an id is not an integer in [0, vocabSize)
   */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** A decoder for ids that come one by one. It never gives half a character. */
  decodeStream(options?: DecodeOptions): DecodeStream;
}
