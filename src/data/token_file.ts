/**
 * The file that training reads rows of tokens from: written once, read by every rank at any row.
 *
 *   64 bytes   "LLMPIPE-TOKENS 1", then as f64: byte and length of the description
 *   rows       each at a multiple of 8: u32 flags, u32 number of segments, u32 length of each,
 *              ids as u16 or (flag 1) i32, labels as one bit per token, 1 = its id is its label,
 *              or (flag 2) as i32
 *   tables     after every 65,536 rows: per row f64 offset, u32 bytes, u32 loss tokens
 *   JSON       the description: row length, pad id, where the tables are, statistics
 *
 * Little-endian; ids and labels begin at multiples of 4. The only thing in memory is one table.
 * @module
 */
import type { DataStats } from "./data_stats.ts";

/** What the end of a token file says about it. */
export interface TokenFileDescription {
  /** Tokens of a row (S). */
  rowLength: number;
  /** Number of rows. */
  rows: number;
  /** Id that fills the rest of a row. */
  padId: number;
  /** Whether rows hold several samples. */
  packing: boolean;
  /** Byte of each table; table i begins with row 65,536 i. */
  tables: number[];
  /** What the rows were made of. */
  stats: DataStats;
}

/** The tokens of one sample as they stand in a row. */
export interface Segment {
  /** [T] ids. */
  ids: Int32Array;
  /** [T] unshifted labels, -100 = no loss. */
  labels: Int32Array;
}

/** First bytes of a token file. */
export const MAGIC = "LLMPIPE-TOKENS 1";
/** Bytes of the header. */
export const HEADER_BYTES = 64;
/** Rows per table. */
export const TABLE_ROWS = 65536;
/** Bytes of a table entry. */
export const ENTRY_BYTES = 16;
/** Row flag: ids are i32. */
export const WIDE_IDS = 1;
/** Row flag: labels are i32. */
export const OWN_LABELS = 2;

/** Number of positions t that predict a label: labels[t + 1] is not -100. */
export function countLossTokens(labels: Int32Array): number {
  let count = 0;
  for (let t = 1; t < labels.length; t++) if (labels[t] !== -100) count++;
  return count;
}

/** Writes a token file from its first row to its description. Does not close the file. */
export class TokenFileWriter {
  readonly #file: Deno.FsFile;
  readonly #buffer = new Uint8Array(4 << 20);
  #used = 0;
  #flushed = 0;
  #rows = 0;
  #tables: number[] = [];
  #table = new DataView(new ArrayBuffer(TABLE_ROWS * ENTRY_BYTES));

  /** Begins at the start of an empty file. */
  constructor(file: Deno.FsFile) {
    this.#file = file;
    this.#bytes(new Uint8Array(HEADER_BYTES));
  }

  /** Number of rows so far. */
  get rows(): number {
    return this.#rows;
  }

  /** Appends a row of segments in order. */
  row(segments: readonly Segment[]): void {
    const T = segments.reduce((sum, s) => sum + s.ids.length, 0);
    const isWide = segments.some((s) => s.ids.some((id) => id > 0xffff));
    const hasOwn = segments.some((s) => s.labels.some((l, t) => l !== -100 && l !== s.ids[t]));
    const idBytes = isWide ? 4 * T : 4 * Math.ceil(T / 2);
    const labelBytes = hasOwn ? 4 * T : 4 * Math.ceil(T / 32);
    const headBytes = 8 + 4 * segments.length;
    const size = 8 * Math.ceil((headBytes + idBytes + labelBytes) / 8);
    const out = new ArrayBuffer(size);
    const head = new Uint32Array(out, 0, headBytes / 4);
    head.set([(isWide ? WIDE_IDS : 0) | (hasOwn ? OWN_LABELS : 0), segments.length]);
    head.set(segments.map((s) => s.ids.length), 2);
    const ids = isWide ? new Int32Array(out, headBytes, T) : new Uint16Array(out, headBytes, T);
    const labels = new Int32Array(out, headBytes + idBytes, labelBytes / 4);
    let at = 0, lossTokens = 0;
    for (const segment of segments) {
      ids.set(segment.ids, at);
      if (hasOwn) labels.set(segment.labels, at);
      else {
        segment.labels.forEach((label, t) => {
          if (label !== -100) labels[(at + t) >> 5]! |= 1 << ((at + t) & 31);
        });
      }
      at += segment.ids.length;
      lossTokens += countLossTokens(segment.labels);
    }
    const entry = this.#rows % TABLE_ROWS * ENTRY_BYTES;
    this.#table.setFloat64(entry, this.#flushed + this.#used, true);
    this.#table.setUint32(entry + 8, size, true);
    this.#table.setUint32(entry + 12, lossTokens, true);
    this.#bytes(new Uint8Array(out));
    if (++this.#rows % TABLE_ROWS === 0) this.#writeTable();
  }

  /** Writes tables, description and header, and brings all of it to the disk. */
  finish(rest: Omit<TokenFileDescription, "rows" | "tables">): TokenFileDescription {
    if (this.#rows % TABLE_ROWS !== 0) this.#writeTable();
    const description = { ...rest, rows: this.#rows, tables: this.#tables };
    const json = new TextEncoder().encode(JSON.stringify(description));
    const at = this.#flushed + this.#used;
    this.#bytes(json);
    this.#flush();
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    new TextEncoder().encodeInto(MAGIC, new Uint8Array(header.buffer));
    header.setFloat64(16, at, true);
    header.setFloat64(24, json.length, true);
    this.#file.seekSync(0, Deno.SeekMode.Start);
    writeAll(this.#file, new Uint8Array(header.buffer));
    this.#file.syncSync();
    return description;
  }

  #writeTable(): void {
    const used = (this.#rows - 1) % TABLE_ROWS + 1;
    this.#tables.push(this.#flushed + this.#used);
    this.#bytes(new Uint8Array(this.#table.buffer, 0, used * ENTRY_BYTES));
  }

  #bytes(bytes: Uint8Array): void {
    if (this.#used + bytes.length > this.#buffer.length) this.#flush();
    if (bytes.length > this.#buffer.length) {
      writeAll(this.#file, bytes);
      this.#flushed += bytes.length;
      return;
    }
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  #flush(): void {
    writeAll(this.#file, this.#buffer.subarray(0, this.#used));
    this.#flushed += this.#used;
    this.#used = 0;
  }
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}
