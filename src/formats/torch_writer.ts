/** Writing the tensors of a file as torch.save does: a zip archive around a pickle. @module */
import { crc32 } from "node:zlib";
import { writeAll } from "./file_bytes.ts";
import { elementCount, type StoredType, tensorBytes, type TensorData } from "./tensor_file.ts";
import { storageClass, torchDtype } from "./torch_types.ts";
import { ZipWriter } from "./zip_writer.ts";

/** Folder that all entries stand in; readers take any. */
const ROOT = "archive";

/** Storages begin at multiples of it, so that a mapped file can be used in place. */
const ALIGNMENT = 64;

/** Version of the archive that every torch since 1.6 reads. */
const VERSION = "3\n";

/**
 * Writes a dict of tensors to an empty file, one piece of a tensor in memory at a time; the caller
 * makes the file durable. torch.load(weights_only=True) reads it. Each tensor is a storage of its
 * own, contiguous and without gradient.
 *
 * @throws {RangeError} If a tensor yields other bytes than its shape says, its type is none of
 *   torch, or a name comes twice
 */
export function writeTorchTensors(file: Deno.FsFile, tensors: Iterable<TensorData>): void {
  const list = [...tensors];
  const zip = new ZipWriter(file);
  const small = (name: string, bytes: Uint8Array) =>
    zip.add(`${ROOT}/${name}`, bytes.length, ALIGNMENT, () => {
      writeAll(file, bytes);
      return crc32(bytes);
    });
  small("data.pkl", pickleOf(list));
  small("byteorder", new TextEncoder().encode("little"));
  for (const [key, tensor] of list.entries()) {
    const bytes = tensorBytes(tensor.dtype, tensor.shape)!;
    zip.add(`${ROOT}/data/${key}`, bytes, ALIGNMENT, () => writeStorage(file, tensor, bytes));
  }
  small("version", new TextEncoder().encode(VERSION));
  zip.end();
}

function writeStorage(file: Deno.FsFile, { name, chunks }: TensorData, bytes: number): number {
  let written = 0;
  let crc = 0;
  for (const chunk of chunks()) {
    writeAll(file, chunk);
    written += chunk.length;
    crc = crc32(chunk, crc);
  }
  if (written === bytes) return crc;
  throw new RangeError(`Cannot store ${name} as it must have ${bytes} bytes: it has ${written}`);
}

/** The pickle, protocol 2, of `{name: tensor, ...}`; the storage of tensor k has the key "k". */
function pickleOf(tensors: readonly TensorData[]): Uint8Array {
  const names = new Set<string>();
  const out = new PickleWriter();
  out.code("\x80\x02}(");
  for (const [key, { name, dtype, shape }] of tensors.entries()) {
    if (names.has(name)) throw new RangeError(`Cannot store two tensors with the name ${name}`);
    names.add(name);
    out.text(name);
    writeTensor(out, String(key), name, dtype, shape);
  }
  out.code("u.");
  return out.bytes();
}

/** `torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`. */
function writeTensor(
  out: PickleWriter,
  key: string,
  name: string,
  dtype: StoredType,
  shape: readonly number[],
): void {
  const typed = storageClass(dtype);
  const type = torchDtype(dtype);
  const bytes = tensorBytes(dtype, shape);
  if (type === undefined || bytes === undefined) {
    throw new RangeError(`Cannot store ${name} in a torch file as [${shape.join(", ")}] ${dtype}`);
  }
  out.global("torch._utils", typed ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3");
  out.code("((");
  out.text("storage");
  if (typed) out.global("torch", typed);
  else out.global("torch.storage", "UntypedStorage");
  out.text(key);
  out.text("cpu");
  out.integer(typed ? elementCount(shape) : bytes);
  out.code("tQ");
  out.integer(0);
  out.tuple(shape);
  out.tuple(shape.map((_, i) => elementCount(shape.slice(i + 1).map((n) => Math.max(1, n)))));
  out.code("\x89");
  out.global("collections", "OrderedDict");
  out.code(")R");
  if (!typed) out.global("torch", type);
  out.code("tR");
}

/** The opcodes that a dict of tensors needs. */
class PickleWriter {
  readonly #bytes: number[] = [];

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  /** Opcodes as they are. */
  code(opcodes: string): void {
    for (const opcode of opcodes) this.#bytes.push(opcode.charCodeAt(0));
  }

  global(module: string, name: string): void {
    this.code(`c${module}\n${name}\n`);
  }

  text(value: string): void {
    const utf8 = new TextEncoder().encode(value);
    this.code("X");
    this.#little(utf8.length, 4);
    this.#bytes.push(...utf8);
  }

  /** An integer from 0 to 2^53. */
  integer(value: number): void {
    if (value < 2 ** 31) {
      this.code("J");
      this.#little(value, 4);
    } else {
      this.code("\x8a\x08");
      this.#little(value, 8);
    }
  }

  tuple(values: readonly number[]): void {
    this.code("(");
    for (const value of values) this.integer(value);
    this.code("t");
  }

  #little(value: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) this.#bytes.push(Math.floor(value / 2 ** (8 * i)) & 0xff);
  }
}
