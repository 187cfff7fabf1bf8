/** Decodes ids one by one through the stages of a decoder. @module */
import { type DecoderStage, TextCollector, type TextSink } from "./text_sink.ts";
import type { DecodeStream } from "./tokenizer.ts";

/** A decode stream over tokens. */
export class StreamDecoder implements DecodeStream {
  readonly #vocabSize: number;
  readonly #tokenOf: (id: number) => string | undefined;
  readonly #collector = new TextCollector();
  readonly #first: TextSink;

  /**
   * Begins a stream.
   *
   * @param vocabSize Ids must be smaller
   * @param decoder What makes text of tokens
   * @param tokenOf Token of an id; undefined leaves it out
   */
  constructor(
    vocabSize: number,
    decoder: DecoderStage,
    tokenOf: (id: number) => string | undefined,
  ) {
    this.#vocabSize = vocabSize;
    this.#first = decoder(this.#collector);
    this.#tokenOf = tokenOf;
  }

  push(id: number): string {
    expectId(id, this.#vocabSize);
    const token = this.#tokenOf(id);
    if (token === undefined) return "";
    this.#first.text(token);
    this.#first.endToken();
    return this.#collector.take();
  }

  end(): string {
    this.#first.end();
    return this.#collector.take();
  }
}

/** Checks an id. @throws {RangeError} If it is not one of the vocabulary */
export function expectId(id: number, vocabSize: number): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return;
  throw new RangeError(
    `Cannot decode as ids must be integers from 0 to ${vocabSize - 1}: current value is ${id}`,
  );
}
