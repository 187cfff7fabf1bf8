/** Reading the tensors of files that torch.save writes: zip archives and the format before them. @module */
import { ByteReader } from "./byte_reader.ts";
import { CHUNK_BYTES, readAt } from "./file_bytes.ts";
import { FormatError } from "./format_error.ts";
import { readPickle } from "./pickle.ts";
import { showPickled } from "./show_pickled.ts";
import { type ByteRange, elementCount, type StoredTensor, type TensorFile } from "./tensor_file.ts";
import { gather, isDense, placeView, type TorchView, TorchWorld } from "./torch_objects.ts";
import { checksumError, isZip, readZipDirectory, verifyEntry, type ZipEntry } from "./zip_file.ts";
import { crc32 } from "node:zlib";

/** Largest pickle: a description of tensors is far smaller, and objects take more than its bytes. */
const PICKLE_LIMIT = 32 << 20;

/** First object of the format before zip, and the version of that format. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_VERSION = 1001;
/** First byte of a pickle since its protocol 2, which torch.save has always used. */
const PICKLE_START = 0x80;

/** Bytes of a storage. */
interface StoragePlace extends ZipEntry {
  /** How messages call it. */
  readonly name: string;
}

/** A tensor of a torch file. */
interface TorchTensor extends StoredTensor {
  readonly view: TorchView;
  readonly place: StoragePlace;
}

/**
 * Opens what torch.save wrote: a dict of tensors by name. Other values of the dict are passed over.
 * The pickle inside is only ever read as data (see `pickle.ts`); tensors are read from their range
 * of the file when they are asked for, and checked against the checksum of the archive.
 *
 * @throws {FormatError} On a file that is cut off, damaged, or asks for code to be run
 */
export function openTorchFile(path: string): TensorFile {
  const file = Deno.openSync(path);
  try {
    const { size } = file.statSync();
    const contents = isZip(file, path, size)
      ? readArchive(file, path, size)
      : readLegacy(file, path, size);
    return new TorchFile(file, path, placeTensors(path, size, contents));
  } catch (error) {
    file.close();
    throw error;
  }
}

interface Contents {
  root: unknown;
  places: ReadonlyMap<string, StoragePlace>;
}

function readArchive(file: Deno.FsFile, path: string, size: number): Contents {
  const entries = readZipDirectory(file, path, size);
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) {
    throw new FormatError(path, `it must hold one data.pkl: it holds ${pickles.length}`);
  }
  const [pickle] = pickles;
  const prefix = pickle.slice(0, -"data.pkl".length);
  const entry = entries.get(pickle)!;
  if (entry.size > PICKLE_LIMIT) {
    throw new FormatError(path, `its ${pickle} has ${entry.size} bytes: ${PICKLE_LIMIT} at most`);
  }
  verifyEntry(file, path, pickle, entry);
  const order = entries.get(`${prefix}byteorder`);
  if (order) {
    const text = new ByteReader(file, path, order.begin, order.begin + order.size);
    const word = new TextDecoder().decode(text.take(Math.min(order.size, 16)));
    if (word !== "little") {
      throw new FormatError(path, `its byte order must be little: it is ${word}`);
    }
  }
  const world = new TorchWorld();
  const root = readPickle(
    new ByteReader(file, path, entry.begin, entry.begin + entry.size),
    world,
  );
  const places = new Map<string, StoragePlace>();
  for (const key of world.storages.keys()) {
    const name = `${prefix}data/${key}`;
    const place = entries.get(name);
    if (!place) throw new FormatError(path, `it has no entry ${name}, which a tensor needs`);
    places.set(key, { name, ...place });
  }
  return { root, places };
}

/** Four pickles (magic, version, machine, the object), a list of storage keys, then the storages. */
function readLegacy(file: Deno.FsFile, path: string, size: number): Contents {
  if (size === 0) throw new FormatError(path, "it is empty");
  if (new ByteReader(file, path, 0, 1).u8() !== PICKLE_START) {
    throw new FormatError(path, "it is neither a zip archive nor another file of torch.save");
  }
  const reader = new ByteReader(file, path, 0, Math.min(size, PICKLE_LIMIT));
  const world = new TorchWorld();
  const magic = readPickle(reader, world);
  if (magic !== LEGACY_MAGIC) throw reader.fail("it is neither a zip archive nor a torch file");
  const version = readPickle(reader, world);
  if (version !== LEGACY_VERSION) {
    throw reader.fail(`its version must be ${LEGACY_VERSION}: it is ${showPickled(version)}`);
  }
  const machine = readPickle(reader, world);
  if (!(machine instanceof Map) || machine.get("little_endian") !== true) {
    throw reader.fail("its byte order must be little");
  }
  const root = readPickle(reader, world);
  const keys = readPickle(reader, world);
  if (!Array.isArray(keys)) throw reader.fail("its list of storages is missing");
  const places = new Map<string, StoragePlace>();
  let at = reader.position;
  for (const key of keys) {
    const storage = world.storages.get(key);
    if (!storage) throw reader.fail(`it has a storage ${showPickled(key)} that no tensor names`);
    const elements = new ByteReader(file, path, at, size).u64();
    if (elements * storage.itemBytes !== storage.bytes) {
      throw reader.fail(
        `its storage ${key} must have ${storage.bytes} bytes: it has ${elements} elements`,
      );
    }
    places.set(key, { name: `storage ${key}`, begin: at + 8, size: storage.bytes, crc: 0 });
    at += 8 + storage.bytes;
    if (at > size) throw reader.fail(`its storage ${key} is cut off`);
  }
  return { root, places };
}

function placeTensors(
  path: string,
  fileBytes: number,
  { root, places }: Contents,
): Map<string, TorchTensor> {
  if (!(root instanceof Map)) throw new FormatError(path, "it must hold a dict of tensors");
  const tensors = new Map<string, TorchTensor>();
  for (const [name, view] of root as Map<unknown, unknown>) {
    if (typeof name !== "string" || !isView(view)) continue;
    const place = places.get(view.storage.key);
    if (!place) throw new FormatError(path, `${name} has a storage that the file lacks`);
    if (place.size !== view.storage.bytes) {
      throw new FormatError(
        path,
        `${place.name} must have ${view.storage.bytes} bytes: it has ${place.size}`,
      );
    }
    const placed = placeView(view);
    if (typeof placed === "string") throw new FormatError(path, `${name} ${placed}`);
    if (placed.byteLength > fileBytes) {
      throw new FormatError(path, `${name} repeats itself to ${placed.byteLength} bytes`);
    }
    tensors.set(name, { ...placed, view, place });
  }
  return tensors;
}

function isView(value: unknown): value is TorchView {
  return typeof value === "object" && value !== null && "storage" in value;
}

class TorchFile implements TensorFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  readonly #file: Deno.FsFile;
  readonly #verified = new Set<StoragePlace>();

  constructor(file: Deno.FsFile, path: string, tensors: ReadonlyMap<string, TorchTensor>) {
    this.#file = file;
    this.path = path;
    this.tensors = tensors;
  }

  read(name: string, into?: Uint8Array): Uint8Array {
    const { byteLength } = this.#find(name);
    const bytes = into ?? new Uint8Array(byteLength);
    if (bytes.length !== byteLength) {
      throw new RangeError(
        `Cannot read ${name} of ${this.path} into ${bytes.length} bytes: it has ${byteLength}`,
      );
    }
    let at = 0;
    for (const chunk of this.chunks(name)) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  *chunks(name: string, range?: ByteRange): Generator<Uint8Array> {
    const tensor = this.#find(name);
    const { view, place, byteLength } = tensor;
    const { begin, end } = range ?? { begin: 0, end: byteLength };
    const itemBytes = byteLength / Math.max(1, elementCount(tensor.shape));
    if (!isDense(view)) {
      this.#verify(place);
      const read = (at: number, bytes: number) => this.#read(place.begin + at, bytes);
      yield* within(gather(view, itemBytes, read), { begin, end });
      return;
    }
    const isWhole = end - begin === place.size;
    if (!isWhole) this.#verify(place);
    const first = place.begin + view.offset * itemBytes;
    const buffer = new Uint8Array(Math.min(CHUNK_BYTES, end - begin));
    let crc = 0;
    for (let at = begin; at < end; at += CHUNK_BYTES) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, end - at));
      readAt(this.#file, this.path, first + at, chunk);
      if (isWhole) crc = crc32(chunk, crc);
      yield chunk;
    }
    if (isWhole && place.crc !== 0 && crc !== place.crc) throw checksumError(this.path, place.name);
  }

  close(): void {
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #find(name: string): TorchTensor {
    const tensor = this.tensors.get(name);
    if (tensor) return tensor;
    throw new RangeError(`Cannot read ${name} of ${this.path}: there is no such tensor`);
  }

  #read(begin: number, bytes: number): Uint8Array {
    const taken = new Uint8Array(bytes);
    readAt(this.#file, this.path, begin, taken);
    return taken;
  }

  /** Checks a storage once, before a part of it is read. */
  #verify(place: StoragePlace): void {
    if (this.#verified.has(place)) return;
    verifyEntry(this.#file, this.path, place.name, place);
    this.#verified.add(place);
  }
}

/** What of the pieces of a tensor lies in a range of its bytes. */
function* within(pieces: Iterable<Uint8Array>, { begin, end }: ByteRange): Generator<Uint8Array> {
  let at = 0;
  for (const piece of pieces) {
    const part = piece.subarray(Math.max(0, begin - at), Math.max(0, end - at));
    if (part.length > 0) yield part;
    at += piece.length;
    if (at >= end) return;
  }
}
