/** Writing a zip archive whose entries are stored as they are, zip64 where sizes need it. @module */
import { writeAll } from "./file_bytes.ts";

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const LOCAL_HEADER_BYTES = 30;
const CRC_AT = 14;

/** Version of the format that first had zip64. */
const VERSION = 45;
/** Names are UTF-8. */
const FLAGS = 0x0800;
/** 1980-01-01, the first day that the format knows: the same input gives the same bytes. */
const DATE = 0x21;
const ZIP64_FIELD = 1;
/** Extra field without a meaning, "FB" as torch has it: it moves the data of an entry. */
const PADDING_FIELD = 0x4246;
const IN_ZIP64 = 0xffffffff;
const COUNT_IN_ZIP64 = 0xffff;
const NOTHING = new Uint8Array(0);

interface Written {
  name: Uint8Array;
  size: number;
  crc: number;
  header: number;
}

/** Writes an archive to an empty file, entry by entry; the caller makes the file durable. */
export class ZipWriter {
  readonly #file: Deno.FsFile;
  readonly #entries: Written[] = [];
  #at = 0;

  /** Begins an archive at the start of the file. */
  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /**
   * Adds an entry.
   *
   * @param size Bytes that `write` writes
   * @param alignment The data begins at a multiple of it; at most 4096
   * @param write Writes the data at the current position and returns their CRC-32
   */
  add(name: string, size: number, alignment: number, write: () => number): void {
    const entry = { name: new TextEncoder().encode(name), size, crc: 0, header: this.#at };
    const sizes = size >= IN_ZIP64 ? zip64Field([size, size]) : NOTHING;
    const fixed = this.#at + LOCAL_HEADER_BYTES + entry.name.length + sizes.length;
    const padding = alignment > 1 ? paddingField(fixed, alignment) : NOTHING;
    const extra = concat([sizes, padding]);
    this.#write(concat([
      pack("4", LOCAL_HEADER),
      commonFields(entry, extra.length),
      entry.name,
      extra,
    ]));
    entry.crc = write();
    this.#at += size;
    this.#file.seekSync(entry.header + CRC_AT, Deno.SeekMode.Start);
    writeAll(this.#file, pack("4", entry.crc));
    this.#file.seekSync(this.#at, Deno.SeekMode.Start);
    this.#entries.push(entry);
  }

  /** Writes the directory. */
  end(): void {
    const begin = this.#at;
    for (const entry of this.#entries) this.#write(centralHeader(entry));
    const bytes = this.#at - begin;
    const count = this.#entries.length;
    const isLarge = begin >= IN_ZIP64 || bytes >= IN_ZIP64 || count >= COUNT_IN_ZIP64;
    if (isLarge) this.#write(end64(count, bytes, begin));
    const shown = isLarge ? [COUNT_IN_ZIP64, IN_ZIP64, IN_ZIP64] : [count, bytes, begin];
    this.#write(pack("4 4 2 2 4 4 2", END, 0, shown[0], ...shown, 0));
  }

  #write(bytes: Uint8Array): void {
    writeAll(this.#file, bytes);
    this.#at += bytes.length;
  }
}

/** What local and central headers have in common: version to the length of the extra fields. */
function commonFields({ name, size, crc }: Written, extraBytes: number): Uint8Array {
  const short = Math.min(size, IN_ZIP64);
  const values = [VERSION, FLAGS, 0, 0, DATE, crc, short, short, name.length, extraBytes];
  return pack("2 2 2 2 2 4 4 4 2 2", ...values);
}

function centralHeader(entry: Written): Uint8Array {
  const { name, size, header } = entry;
  const large = [
    ...(size >= IN_ZIP64 ? [size, size] : []),
    ...(header >= IN_ZIP64 ? [header] : []),
  ];
  const extra = large.length ? zip64Field(large) : NOTHING;
  return concat([
    pack("4 2", CENTRAL_HEADER, VERSION),
    commonFields(entry, extra.length),
    pack("2 2 2 4 4", 0, 0, 0, 0, Math.min(header, IN_ZIP64)),
    name,
    extra,
  ]);
}

/** The zip64 record of the end, and the locator that finds it. */
function end64(count: number, bytes: number, begin: number): Uint8Array {
  return concat([
    pack("4 8 2 2 4 4", END64, 44, VERSION, VERSION, 0, 0),
    pack("8 8 8 8", count, count, bytes, begin),
    pack("4 4 8 4", END64_LOCATOR, 0, begin + bytes, 1),
  ]);
}

function zip64Field(values: readonly number[]): Uint8Array {
  const widths = values.map(() => " 8").join("");
  return pack(`2 2${widths}`, ZIP64_FIELD, 8 * values.length, ...values);
}

/** A field that ends at a multiple of the alignment when it stands at byte `at`. */
function paddingField(at: number, alignment: number): Uint8Array {
  const bytes = (alignment - (at + 4) % alignment) % alignment;
  return concat([pack("2 2", PADDING_FIELD, bytes), new Uint8Array(bytes)]);
}

/** Little-endian numbers of these many bytes each. */
function pack(widths: string, ...values: readonly number[]): Uint8Array {
  const sizes = widths.split(" ").map(Number);
  const view = new DataView(new ArrayBuffer(sizes.reduce((sum, size) => sum + size)));
  let at = 0;
  for (const [i, size] of sizes.entries()) {
    if (size === 2) view.setUint16(at, values[i], true);
    else if (size === 4) view.setUint32(at, values[i], true);
    else view.setBigUint64(at, BigInt(values[i]), true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
