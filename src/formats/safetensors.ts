/** Reading and writing safetensors files. @module */
import { CHUNK_BYTES, readAt, writeAll, writeFileDurably } from "./file_bytes.ts";
import { FormatError } from "./format_error.ts";
import {
  buildHeader,
  compareForLayout,
  HEADER_LIMIT,
  parseHeader,
  type PlacedTensor,
} from "./safetensors_header.ts";
import { type ByteRange, tensorBytes, type TensorData, type TensorFile } from "./tensor_file.ts";

/** An open safetensors file. */
export interface SafetensorsFile extends TensorFile {
  /** The tensors by name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, PlacedTensor>;
  /** Free texts of the header. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Opens a safetensors file and checks its whole header; no tensor is read. What the file claims is
 * never allocated before it is compared with the size of the file.
 *
 * @throws {FormatError} If the header is not what the format demands
 */
export function openSafetensors(path: string): SafetensorsFile {
  const file = Deno.openSync(path);
  try {
    return new OpenSafetensors(path, file);
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Writes a safetensors file durably, one piece of a tensor in memory at a time. The result depends
 * only on the tensors, not on their order: wider types come first, then names.
 *
 * @param metadata Free texts of the header
 * @throws {RangeError} If a tensor yields other bytes than its shape says, or a name comes twice
 * @throws {Error} If the file cannot be written; nothing is left behind
 */
export function writeSafetensors(
  path: string,
  tensors: Iterable<TensorData>,
  metadata: Record<string, string> = { format: "pt" },
): void {
  writeFileDurably(path, (file) => writeTensors(file, tensors, { metadata }));
}

/**
 * Writes what {@linkcode writeSafetensors} does to an open file, which the caller makes durable.
 *
 * @param options.onBytes Called with all bytes of the file, piece by piece, as for a checksum
 * @returns Size of the file in bytes
 */
export function writeTensors(
  file: Deno.FsFile,
  tensors: Iterable<TensorData>,
  options: {
    metadata?: Record<string, string>;
    onBytes?: (bytes: Uint8Array) => void;
  } = {},
): number {
  const { metadata = { format: "pt" }, onBytes } = options;
  const ordered = [...tensors].sort(compareForLayout);
  let written = 0;
  const write = (bytes: Uint8Array) => {
    writeAll(file, bytes);
    written += bytes.length;
    onBytes?.(bytes);
  };
  write(buildHeader(ordered, metadata));
  for (const tensor of ordered) {
    const { name, dtype, shape } = tensor;
    const end = written + tensorBytes(dtype, shape)!;
    for (const chunk of tensor.chunks()) write(chunk);
    if (written !== end) {
      throw new RangeError(
        `Cannot store ${name} as it must end at byte ${end}: its pieces end at ${written}`,
      );
    }
  }
  return written;
}

class OpenSafetensors implements SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, PlacedTensor>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #file: Deno.FsFile;

  constructor(path: string, file: Deno.FsFile) {
    const { size } = file.statSync();
    if (size < 8) throw new FormatError(path, `it must have 8 bytes or more: it has ${size}`);
    const prefix = new Uint8Array(8);
    readAt(file, path, 0, prefix);
    const length = new DataView(prefix.buffer).getBigUint64(0, true);
    if (length > HEADER_LIMIT) {
      throw new FormatError(
        path,
        `its header must have at most ${HEADER_LIMIT} bytes: it claims ${length}, ` +
          "as files do that are no safetensors",
      );
    }
    if (8 + Number(length) > size) {
      throw new FormatError(path, `its header claims ${length} bytes of a file of ${size}`);
    }
    const header = new Uint8Array(Number(length));
    readAt(file, path, 8, header);
    this.path = path;
    this.#file = file;
    ({ tensors: this.tensors, metadata: this.metadata } = parseHeader(path, header, size));
  }

  read(name: string, into?: Uint8Array): Uint8Array {
    const { begin, byteLength } = this.#find(name);
    const bytes = into ?? new Uint8Array(byteLength);
    if (bytes.length !== byteLength) {
      throw new RangeError(
        `Cannot read ${name} of ${this.path} into ${bytes.length} bytes: it has ${byteLength}`,
      );
    }
    readAt(this.#file, this.path, begin, bytes);
    return bytes;
  }

  *chunks(name: string, range?: ByteRange): Generator<Uint8Array> {
    const tensor = this.#find(name);
    const { begin, end } = range ?? { begin: 0, end: tensor.byteLength };
    const buffer = new Uint8Array(Math.min(CHUNK_BYTES, end - begin));
    for (let at = begin; at < end; at += CHUNK_BYTES) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, end - at));
      readAt(this.#file, this.path, tensor.begin + at, chunk);
      yield chunk;
    }
  }

  close(): void {
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #find(name: string): PlacedTensor {
    const tensor = this.tensors.get(name);
    if (tensor) return tensor;
    throw new RangeError(`Cannot read ${name} of ${this.path}: there is no such tensor`);
  }
}
