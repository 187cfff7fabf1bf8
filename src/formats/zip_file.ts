/** The directory of a zip archive whose entries are stored as they are, zip64 included. @module */
import { crc32 } from "node:zlib";
import { ByteReader } from "./byte_reader.ts";
import { CHUNK_BYTES, readAt } from "./file_bytes.ts";
import { FormatError } from "./format_error.ts";

/** One file inside the archive. */
export interface ZipEntry {
  /** First byte in the archive. */
  readonly begin: number;
  /** Size in bytes. */
  readonly size: number;
  /** CRC-32 of the bytes; 0 when the writer did not compute it. */
  readonly crc: number;
}

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const LOCAL_HEADER_BYTES = 30;
const COMMENT_LIMIT = 0xffff;
const IN_ZIP64 = 0xffffffff;

/** Whether a file begins as a zip archive does. */
export function isZip(file: Deno.FsFile, path: string, size: number): boolean {
  return size >= 4 && new ByteReader(file, path, 0, 4).u32() === LOCAL_HEADER;
}

/**
 * Reads the directory of an archive and checks that each entry is inside it, stored as it is.
 *
 * @returns Entries by name
 * @throws {FormatError} If the directory is missing or damaged, or an entry is compressed
 */
export function readZipDirectory(
  file: Deno.FsFile,
  path: string,
  size: number,
): Map<string, ZipEntry> {
  const { begin, end, count } = findDirectory(file, path, size);
  const reader = new ByteReader(file, path, begin, end);
  const entries = new Map<string, ZipEntry>();
  for (let i = 0; i < count; i++) {
    const { name, header, ...rest } = readCentralHeader(reader);
    if (entries.has(name)) throw new FormatError(path, `its zip directory has ${name} twice`);
    entries.set(name, { ...rest, begin: dataBegin(file, path, begin, name, header, rest.size) });
  }
  return entries;
}

/**
 * Reads an entry through and compares its checksum.
 *
 * @throws {FormatError} If the bytes are not those that were written
 */
export function verifyEntry(
  file: Deno.FsFile,
  path: string,
  name: string,
  { begin, size, crc }: ZipEntry,
): void {
  if (crc === 0) return;
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, size));
  let actual = 0;
  for (let at = 0; at < size; at += CHUNK_BYTES) {
    const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, size - at));
    readAt(file, path, begin + at, chunk);
    actual = crc32(chunk, actual);
  }
  if (actual !== crc) throw checksumError(path, name);
}

/** The error of an entry whose bytes have changed. */
export function checksumError(path: string, name: string): FormatError {
  return new FormatError(path, `the checksum of its entry ${name} does not fit: it is damaged`);
}

/** The directory's range and number of entries, from the records at the end of the archive. */
function findDirectory(
  file: Deno.FsFile,
  path: string,
  size: number,
): { begin: number; end: number; count: number } {
  const tail = new Uint8Array(Math.min(size, END_BYTES + COMMENT_LIMIT));
  readAt(file, path, size - tail.length, tail);
  const view = new DataView(tail.buffer);
  let at = tail.length - END_BYTES;
  const isEnd = (at: number) =>
    view.getUint32(at, true) === END &&
    view.getUint16(at + 20, true) === tail.length - at - END_BYTES;
  while (at >= 0 && !isEnd(at)) at--;
  if (at < 0) throw new FormatError(path, "its zip directory is missing: the file is cut off");

  const recordBegin = size - tail.length + at;
  let count = view.getUint16(at + 10, true);
  let length = view.getUint32(at + 12, true);
  let begin = view.getUint32(at + 16, true);
  let end = recordBegin;
  const hasLocator = at >= LOCATOR_BYTES &&
    view.getUint32(at - LOCATOR_BYTES, true) === END64_LOCATOR;
  if (hasLocator) {
    const locator = new ByteReader(file, path, recordBegin - LOCATOR_BYTES + 8, recordBegin);
    end = locator.u64();
    if (end > recordBegin) throw new FormatError(path, "its zip64 record is beyond the file");
    const record = new ByteReader(file, path, end, recordBegin);
    if (record.u32() !== END64) throw new FormatError(path, "its zip64 record is missing");
    record.skip(28);
    count = record.u64();
    length = record.u64();
    begin = record.u64();
  }
  if (begin + length !== end) {
    throw new FormatError(
      path,
      `its zip directory must end at ${end}: it claims ${length} bytes from ${begin}`,
    );
  }
  return { begin, end, count };
}

function readCentralHeader(
  reader: ByteReader,
): { name: string; header: number; size: number; crc: number } {
  if (reader.u32() !== CENTRAL_HEADER) throw reader.fail("its zip directory is damaged");
  reader.skip(4);
  const flags = reader.u16();
  const method = reader.u16();
  reader.skip(4);
  const crc = reader.u32();
  let packed = reader.u32();
  let size = reader.u32();
  const nameBytes = reader.u16();
  const extraBytes = reader.u16();
  const commentBytes = reader.u16();
  reader.skip(8);
  let header = reader.u32();
  const name = new TextDecoder().decode(reader.take(nameBytes));
  const extraEnd = reader.position + extraBytes;
  while (reader.position + 4 <= extraEnd) {
    const kind = reader.u16();
    const fieldEnd = reader.u16() + reader.position;
    if (kind === 1) {
      if (size === IN_ZIP64) size = reader.u64();
      if (packed === IN_ZIP64) packed = reader.u64();
      if (header === IN_ZIP64) header = reader.u64();
    }
    if (fieldEnd > extraEnd || reader.position > fieldEnd) {
      throw reader.fail(`the zip entry ${name} is damaged`);
    }
    reader.skip(fieldEnd - reader.position);
  }
  reader.skip(extraEnd - reader.position + commentBytes);
  if (flags & 1) throw reader.fail(`its entry ${name} is encrypted`);
  if (method !== 0 || packed !== size) {
    throw reader.fail(
      `its entry ${name} must be stored as it is: ${size} bytes are compressed to ${packed}`,
    );
  }
  return { name, header, size, crc };
}

/** Where the data of an entry begins: after its local header, and wholly before the directory. */
function dataBegin(
  file: Deno.FsFile,
  path: string,
  directory: number,
  name: string,
  header: number,
  size: number,
): number {
  const end = header + LOCAL_HEADER_BYTES;
  if (end > directory) throw new FormatError(path, `its entry ${name} is beyond the file`);
  const reader = new ByteReader(file, path, header, end);
  if (reader.u32() !== LOCAL_HEADER) throw reader.fail(`its entry ${name} has no header`);
  reader.skip(22);
  const begin = end + reader.u16() + reader.u16();
  if (begin + size > directory) throw reader.fail(`its entry ${name} is beyond the file`);
  return begin;
}
