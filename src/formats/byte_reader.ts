/** Sequential reading of a range of a file, a window at a time. @module */
import { readAt } from "./file_bytes.ts";
import { FormatError } from "./format_error.ts";

const WINDOW_BYTES = 64 << 10;

/** Reads little-endian values one after another, and never past the end of its range. */
export class ByteReader {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  readonly #end: number;
  #position: number;
  #window = new Uint8Array(0);
  #windowBegin = 0;

  /** Reads bytes `begin` to `end` of the file. */
  constructor(file: Deno.FsFile, path: string, begin: number, end: number) {
    this.#file = file;
    this.#path = path;
    this.#position = begin;
    this.#end = end;
  }

  /** Where the next byte stands in the file. */
  get position(): number {
    return this.#position;
  }

  /** An error of this file. */
  fail(reason: string): FormatError {
    return new FormatError(this.#path, reason);
  }

  /** Goes over bytes without reading them. */
  skip(bytes: number): void {
    this.#require(bytes);
    this.#position += bytes;
  }

  /** The next bytes; a copy. The range is known to have them before memory is taken. */
  take(bytes: number): Uint8Array {
    this.#require(bytes);
    const taken = new Uint8Array(bytes);
    const inWindow = this.#position - this.#windowBegin;
    if (inWindow >= 0 && inWindow + bytes <= this.#window.length) {
      taken.set(this.#window.subarray(inWindow, inWindow + bytes));
    } else readAt(this.#file, this.#path, this.#position, taken);
    this.#position += bytes;
    return taken;
  }

  /** The next byte. */
  u8(): number {
    let at = this.#position - this.#windowBegin;
    if (at < 0 || at >= this.#window.length) {
      this.#require(1);
      this.#windowBegin = this.#position;
      this.#window = new Uint8Array(Math.min(WINDOW_BYTES, this.#end - this.#position));
      readAt(this.#file, this.#path, this.#windowBegin, this.#window);
      at = 0;
    }
    this.#position++;
    return this.#window[at];
  }

  /** 2 bytes, unsigned. */
  u16(): number {
    return this.u8() | this.u8() << 8;
  }

  /** 4 bytes, signed. */
  i32(): number {
    return this.u16() | this.u16() << 16;
  }

  /** 4 bytes, unsigned. */
  u32(): number {
    return this.i32() >>> 0;
  }

  /** 8 bytes, unsigned. @throws {FormatError} If the value is beyond 2^53 */
  u64(): number {
    const low = this.u32();
    const value = this.u32() * 2 ** 32 + low;
    if (Number.isSafeInteger(value)) return value;
    throw this.fail(`the number at byte ${this.#position - 8} is beyond any file`);
  }

  /** Text up to a line feed, which is dropped. */
  line(limit = 1024): string {
    const bytes: number[] = [];
    for (let byte = this.u8(); byte !== 0x0a; byte = this.u8()) {
      if (bytes.push(byte) > limit) throw this.fail(`a line has more than ${limit} bytes`);
    }
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }

  #require(bytes: number): void {
    if (bytes <= this.#end - this.#position) return;
    throw this.fail(
      `it claims ${bytes} bytes at byte ${this.#position}, beyond the end at ${this.#end}`,
    );
  }
}
