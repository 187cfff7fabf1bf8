/**
 * Rows of tokens out of a token file, for training. The file is read by positions: the system's
 * page cache holds what is used, shared by all ranks of a machine; this process holds one row.
 * @module
 */
import {
  ENTRY_BYTES,
  HEADER_BYTES,
  MAGIC,
  OWN_LABELS,
  TABLE_ROWS,
  type TokenFileDescription,
  WIDE_IDS,
} from "./token_file.ts";

/** An open token file. */
export class TokenDataset {
  /** What the file says about itself. */
  readonly description: TokenFileDescription;
  readonly #file: Deno.FsFile;
  readonly #path: string;
  readonly #entry = new DataView(new ArrayBuffer(ENTRY_BYTES));
  #buffer = new Uint8Array(1 << 16);

  private constructor(path: string, file: Deno.FsFile, description: TokenFileDescription) {
    this.#path = path;
    this.#file = file;
    this.description = description;
  }

  /**
   * Opens a token file.
   *
   * @throws {TypeError} If it is not a whole token file of this version
   */
  static open(path: string): TokenDataset {
    const file = Deno.openSync(path);
    try {
      const header = new DataView(new ArrayBuffer(HEADER_BYTES));
      readAt(file, path, 0, new Uint8Array(header.buffer));
      const magic = new TextDecoder().decode(new Uint8Array(header.buffer, 0, MAGIC.length));
      if (magic !== MAGIC) throw new TypeError(`Cannot open ${path}: it is not a token file`);
      const json = new Uint8Array(header.getFloat64(24, true));
      readAt(file, path, header.getFloat64(16, true), json);
      return new TokenDataset(path, file, JSON.parse(new TextDecoder().decode(json)));
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Number of rows. */
  get length(): number {
    return this.description.rows;
  }

  /** Tokens of a row. */
  get S(): number {
    return this.description.rowLength;
  }

  /** Number of positions of the row that predict a label inside their own sample. */
  lossTokens(row: number): number {
    return this.#find(row).getUint32(12, true);
  }

  /**
   * Reads a row.
   *
   * @param row 0 .. length-1
   * @param ids [S] overwritten; the pad id after the last token
   * @param labels [S] overwritten; unshifted, -100 = no loss
   * @param segments [S] overwritten; 1, 2, ... = sample of the row, 0 = padding
   * @throws {RangeError} If there is no such row, or an array is not [S]
   */
  fill(row: number, ids: Int32Array, labels: Int32Array, segments: Int32Array): void {
    const { S } = this;
    if (ids.length !== S || labels.length !== S || segments.length !== S) {
      throw new RangeError(
        `Cannot fill a row: ids, labels and segments must be [${S}], but are [${ids.length}], ` +
          `[${labels.length}], [${segments.length}]`,
      );
    }
    const entry = this.#find(row);
    const offset = entry.getFloat64(0, true), size = entry.getUint32(8, true);
    if (this.#buffer.length < size) this.#buffer = new Uint8Array(size);
    readAt(this.#file, this.#path, offset, this.#buffer.subarray(0, size));
    const { buffer } = this.#buffer;
    const [flags, count] = new Uint32Array(buffer, 0, 2) as unknown as [number, number];
    const lengths = new Uint32Array(buffer, 8, count);
    const T = lengths.reduce((sum, n) => sum + n, 0);
    const from = 8 + 4 * count;
    const isWide = (flags & WIDE_IDS) !== 0;
    ids.set(isWide ? new Int32Array(buffer, from, T) : new Uint16Array(buffer, from, T));
    ids.fill(this.description.padId, T);
    const at = from + (isWide ? 4 * T : 4 * Math.ceil(T / 2));
    if (flags & OWN_LABELS) labels.set(new Int32Array(buffer, at, T));
    else {
      const bits = new Uint32Array(buffer, at, Math.ceil(T / 32));
      for (let t = 0; t < T; t++) labels[t] = (bits[t >> 5]! >>> (t & 31)) & 1 ? ids[t]! : -100;
    }
    labels.fill(-100, T);
    let t = 0;
    lengths.forEach((length, i) => segments.fill(i + 1, t, t += length));
    segments.fill(0, T);
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.close();
  }

  #find(row: number): DataView {
    if (!(Number.isInteger(row) && row >= 0 && row < this.length)) {
      throw new RangeError(`Cannot read row ${row}: there are ${this.length} rows`);
    }
    const table = this.description.tables[Math.floor(row / TABLE_ROWS)]!;
    const entry = new Uint8Array(this.#entry.buffer);
    readAt(this.#file, this.#path, table + row % TABLE_ROWS * ENTRY_BYTES, entry);
    return this.#entry;
  }
}

function readAt(file: Deno.FsFile, path: string, offset: number, into: Uint8Array): void {
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let have = 0; have < into.length;) {
    const got = file.readSync(into.subarray(have));
    if (got === null) throw new TypeError(`Cannot read ${path}: the file is shorter than it says`);
    have += got;
  }
}
