/** What the pickle of a torch file may hold: tensors as views of storages, and little else. @module */
import { CHUNK_BYTES } from "./file_bytes.ts";
import { isFunction, type PickleFunction, type PickleHost } from "./pickle.ts";
import { showPickled } from "./show_pickled.ts";
import { DTYPE_BITS, elementCount, type StoredType, tensorBytes } from "./tensor_file.ts";
import { DTYPES, STORAGE_TYPES } from "./torch_types.ts";

/** A block of bytes that tensors are views of. */
export interface TorchStorage {
  /** Its key in the file. */
  readonly key: string;
  /** Element type of a typed storage. */
  readonly dtype: StoredType;
  /** Bytes of one element. */
  readonly itemBytes: number;
  /** Bytes of all elements. */
  readonly bytes: number;
}

/** A tensor as the pickle describes it; offset and strides count elements. */
export interface TorchView {
  /** Where its elements are. */
  readonly storage: TorchStorage;
  /** Element type. */
  readonly dtype: StoredType;
  /** The first element. */
  readonly offset: number;
  /** Size of each dimension. */
  readonly shape: readonly number[];
  /** Distance of neighbours in each dimension. */
  readonly strides: readonly number[];
}

/** As in numpy and most ops of torch: a pickle can give one long list of sizes to many tensors. */
const MOST_DIMENSIONS = 64;

/** Modules that hold the storage classes; files saved on a GPU name the second. */
const STORAGE_MODULES = ["torch", "torch.cuda", "torch.storage"];

/** A storage class or dtype: known by name, never called. */
class TorchName {
  constructor(readonly dtype: StoredType) {}
}

/** A class of tensors: named as an argument, never called. */
class TorchClass {
  readonly isTensor = true;
}

const REBUILD_VIEW: PickleFunction = {
  call([storage, offset, shape, strides, _grad, _hooks, flags]) {
    refuseFlags(flags);
    return view(storage, undefined, offset, shape, strides);
  },
};

/** A new Map, or the dict that is given: not a copy, which might be large. */
const NEW_DICT: PickleFunction = {
  call([dict = new Map<unknown, unknown>()]) {
    if (dict instanceof Map) return dict;
    throw new RangeError("its pickle makes a dict of what is none");
  },
};

const REBUILD_PARAMETER: PickleFunction = { call: ([tensor]) => tensor };

/** A value that stands beside the tensors of a file: nothing reads it. */
const PASSED_OVER: PickleFunction = { call: () => null };

/** The classes of tensors that hold what is stored; those of their own might compute something else. */
const PLAIN_TENSOR = new TorchClass();

/** What torch.load(weights_only=True) takes, but for tensors whose values are not those stored. */
const KNOWN: Readonly<Record<string, PickleFunction | TorchClass>> = {
  "collections.OrderedDict": NEW_DICT,
  "collections.Counter": NEW_DICT,
  "builtins.set": PASSED_OVER,
  "builtins.bytearray": PASSED_OVER,
  "builtins.complex": PASSED_OVER,
  "_codecs.encode": PASSED_OVER, // bytes
  "torch.device": PASSED_OVER,
  "torch.Tensor": PLAIN_TENSOR,
  "torch.nn.parameter.Parameter": PLAIN_TENSOR,
  "torch.Size": { call: ([sizes]) => sizes },
  "torch._utils._rebuild_tensor": REBUILD_VIEW,
  "torch._utils._rebuild_tensor_v2": REBUILD_VIEW,
  "torch._utils._rebuild_tensor_v3": {
    call([storage, offset, shape, strides, _grad, _hooks, dtype, flags]) {
      refuseFlags(flags);
      return view(storage, dtype, offset, shape, strides);
    },
  },
  "torch._utils._rebuild_parameter": REBUILD_PARAMETER,
  "torch._utils._rebuild_parameter_with_state": REBUILD_PARAMETER,
  // a tensor that had attributes of its own
  "torch._tensor._rebuild_from_type_v2": {
    call([rebuild, type, args]) {
      if (type === PLAIN_TENSOR && isFunction(rebuild) && Array.isArray(args)) {
        return rebuild.call(args);
      }
      throw new RangeError("its pickle rebuilds what is no tensor");
    },
  },
};

/** The few names that files of tensors use, and the storages that they mention. */
export class TorchWorld implements PickleHost {
  /** The storages by their keys. */
  readonly storages = new Map<string, TorchStorage>();

  /** A function, class or dtype; undefined for all else. */
  find(module: string, name: string): unknown {
    const path = `${module === "__builtin__" ? "builtins" : module}.${name}`; // as Python 2 has it
    if (Object.hasOwn(KNOWN, path)) return KNOWN[path];
    const types = STORAGE_MODULES.includes(module) && Object.hasOwn(STORAGE_TYPES, name)
      ? STORAGE_TYPES
      : module === "torch" && Object.hasOwn(DTYPES, name)
      ? DTYPES
      : undefined;
    return types && new TorchName(types[name]);
  }

  /** The storage of `("storage", class, key, device, elements)`. @throws {RangeError} If it is none */
  load(id: unknown): TorchStorage {
    const [kind, type, key, , elements, part] = Array.isArray(id) ? id : [];
    if (kind !== "storage" || !(type instanceof TorchName) || (part ?? null) !== null) {
      throw new RangeError("its pickle has a persistent id that is no storage");
    }
    if (typeof key !== "string" || !/^[\w-]+$/.test(key)) {
      throw new RangeError(`a storage must have a plain name: it is ${showPickled(key)}`);
    }
    const bytes = tensorBytes(type.dtype, [elements]);
    if (bytes === undefined) {
      throw new RangeError(
        `its storage ${key} must fit a file: it has ${showPickled(elements)} elements`,
      );
    }
    const known = this.storages.get(key);
    if (known && (known.bytes !== bytes || known.dtype !== type.dtype)) {
      throw new RangeError(`its storage ${key} is described in two ways`);
    }
    const itemBytes = DTYPE_BITS[type.dtype] / 8;
    const storage = known ?? { key, dtype: type.dtype, itemBytes, bytes };
    this.storages.set(key, storage);
    return storage;
  }
}

/**
 * Checks that a view stays inside its storage.
 *
 * @returns Its type, shape and bytes, or what is wrong with it
 */
export function placeView(
  { storage, dtype, offset, shape, strides }: TorchView,
): { dtype: StoredType; shape: readonly number[]; byteLength: number } | string {
  const byteLength = tensorBytes(dtype, shape);
  if (byteLength === undefined) return `must fit a file: its shape is [${shape.join(", ")}]`;
  if (byteLength > 0) {
    const last = shape.reduce((at, size, i) => at + (size - 1) * strides[i], offset);
    const end = (last + 1) * DTYPE_BITS[dtype] / 8;
    if (!Number.isSafeInteger(end) || end > storage.bytes) {
      return `must end inside its storage of ${storage.bytes} bytes: it ends at ${end}`;
    }
  }
  return { dtype, shape, byteLength };
}

/** Whether the elements stand in the storage in order and without gaps. */
export function isDense({ shape, strides }: TorchView): boolean {
  if (shape.includes(0)) return true;
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return false;
    step *= shape[i];
  }
  return true;
}

/**
 * Yields the elements of a view that is not dense in row-major order, in pieces that are valid until
 * the next one is taken. Holds the range of the storage that the view spans.
 *
 * @param read Reads bytes of the storage: first byte, number of bytes
 */
export function* gather(
  { offset, shape, strides }: TorchView,
  itemBytes: number,
  read: (begin: number, bytes: number) => Uint8Array,
): Generator<Uint8Array> {
  const span = shape.reduce((at, size, i) => at + (size - 1) * strides[i], 1);
  const source = read(offset * itemBytes, span * itemBytes);
  const total = elementCount(shape);
  const perPiece = Math.floor(CHUNK_BYTES / itemBytes);
  const piece = new Uint8Array(Math.min(total, perPiece) * itemBytes);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  let at = 0;
  for (let n = 0; n < total; n++) {
    for (let b = 0; b < itemBytes; b++) piece[at++] = source[from * itemBytes + b];
    if (at === piece.length) {
      yield piece;
      at = 0;
    }
    for (let i = shape.length - 1; i >= 0; i--) {
      from += strides[i];
      if (++index[i] < shape[i]) break;
      from -= strides[i] * shape[i];
      index[i] = 0;
    }
  }
  if (at > 0) yield piece.subarray(0, at);
}

/** Flags (`conj`, `neg`) say that the values are others than those which are stored. */
function refuseFlags(flags: unknown): void {
  if (!(flags instanceof Map) || flags.size === 0) return;
  throw new RangeError(
    `a tensor must have the values that are stored: it has the flag ${
      [...flags.keys()].map((flag) => typeof flag === "string" ? flag : showPickled(flag)).join(
        ", ",
      )
    }`,
  );
}

function view(
  storage: unknown,
  dtype: unknown,
  offset: unknown,
  shape: unknown,
  strides: unknown,
): TorchView {
  if (!isStorage(storage)) throw new RangeError("its pickle makes a tensor of what is no storage");
  if (Array.isArray(shape) && shape.length > MOST_DIMENSIONS) {
    throw new RangeError(
      `a tensor must have at most ${MOST_DIMENSIONS} dimensions: it has ${shape.length}`,
    );
  }
  if (!isSizes(shape)) {
    throw new RangeError(`a tensor must have sizes from 0: they are ${show(shape)}`);
  }
  if (!Array.isArray(strides) || strides.length !== shape.length || !isSizes(strides)) {
    throw new RangeError(
      `a tensor of ${shape.length} dimensions must have as many strides from 0: they are ` +
        show(strides),
    );
  }
  if (!isSize(offset)) {
    throw new RangeError(`a tensor must have an offset from 0: it is ${showPickled(offset)}`);
  }
  const type = dtype instanceof TorchName ? dtype.dtype : storage.dtype;
  return { storage, dtype: type, offset, shape, strides };
}

function show(sizes: unknown): string {
  if (!Array.isArray(sizes)) return showPickled(sizes);
  return `[${sizes.slice(0, 8).map(showPickled).join(", ")}]`;
}

function isStorage(value: unknown): value is TorchStorage {
  return typeof value === "object" && value !== null && "itemBytes" in value;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isSize);
}
