/**
 * The JSON header of a safetensors file: 8 bytes little-endian length, the header, then the tensors
 * without gaps. What the format forbids is refused, as its reference library does.
 * @module
 */
import { FormatError } from "./format_error.ts";
import {
  DTYPE_BITS,
  isStoredType,
  type StoredTensor,
  type StoredType,
  tensorBytes,
} from "./tensor_file.ts";

/** Longest header that the format allows. */
export const HEADER_LIMIT = 100_000_000;

/** A tensor and its place in the file. */
export interface PlacedTensor extends StoredTensor {
  /** First byte, counted from the start of the file. */
  readonly begin: number;
  /** Byte after the last one. */
  readonly end: number;
}

/** What a header says. */
export interface SafetensorsHeader {
  /** The tensors in the order of their bytes. */
  tensors: Map<string, PlacedTensor>;
  /** Free texts; `{"format": "pt"}` in files for Python. */
  metadata: Record<string, string>;
}

/**
 * Parses a header and checks that the tensors fill the file exactly.
 *
 * @param bytes The header without its length
 * @param fileBytes Size of the whole file
 * @throws {FormatError} Naming the tensor and what is wrong with it
 */
export function parseHeader(
  path: string,
  bytes: Uint8Array,
  fileBytes: number,
): SafetensorsHeader {
  const json = parseObject(path, bytes);
  const metadata: Record<string, string> = {};
  const placed: [name: string, tensor: PlacedTensor][] = [];
  const base = 8 + bytes.length;
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") {
      if (!isObject(value)) throw new FormatError(path, "__metadata__ must be an object");
      for (const [key, text] of Object.entries(value)) {
        if (typeof text !== "string") {
          throw new FormatError(
            path,
            `__metadata__ must hold only strings: ${key} is ${JSON.stringify(text)}`,
          );
        }
        metadata[key] = text;
      }
    } else {
      placed.push([name, placeTensor(path, name, value, base)]);
    }
  }
  placed.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = base;
  for (const [name, { begin, end }] of placed) {
    if (begin !== at) {
      throw new FormatError(
        path,
        `${JSON.stringify(name)} must begin where the tensor before it ends, at ${at - base}: ` +
          `current offset is ${begin - base}`,
      );
    }
    at = end;
  }
  if (at !== fileBytes) {
    throw new FormatError(
      path,
      `its tensors must fill ${fileBytes - base} bytes: their offsets end at ${at - base}`,
    );
  }
  return { tensors: new Map(placed), metadata };
}

/**
 * Builds a header, length included, padded so that the data begins at a multiple of 8. The data
 * must follow in the order of the given tensors.
 *
 * @throws {RangeError} If two tensors have one name, or a shape is not one of whole bytes
 */
export function buildHeader(
  tensors: readonly { name: string; dtype: StoredType; shape: readonly number[] }[],
  metadata: Record<string, string>,
): Uint8Array {
  const entries: [string, unknown][] = [["__metadata__", metadata]];
  const names = new Set<string>(["__metadata__"]);
  let at = 0;
  for (const { name, dtype, shape } of tensors) {
    const bytes = tensorBytes(dtype, shape);
    if (bytes === undefined) {
      throw new RangeError(`Cannot store ${name} as [${shape.join(", ")}] ${dtype}`);
    }
    if (names.has(name)) throw new RangeError(`Cannot store two tensors with the name ${name}`);
    names.add(name);
    entries.push([name, { dtype, shape, data_offsets: [at, at += bytes] }]);
  }
  const members = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return header;
}

/** Wider types first, so that every tensor is aligned to its element; then by name. */
export function compareForLayout(
  a: { name: string; dtype: StoredType },
  b: { name: string; dtype: StoredType },
): number {
  return DTYPE_BITS[b.dtype] - DTYPE_BITS[a.dtype] || (a.name < b.name ? -1 : 1);
}

function parseObject(path: string, bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(path, "its header is not UTF-8", { cause });
  }
  if (text[0] !== "{") throw new FormatError(path, 'its header must begin with "{"');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(path, "its header is not JSON", { cause });
  }
  const fault = findFault(text);
  if (fault !== undefined) throw new FormatError(path, `its header has ${fault}`);
  return json as Record<string, unknown>;
}

function placeTensor(path: string, name: string, value: unknown, base: number): PlacedTensor {
  const fail = (reason: string) => new FormatError(path, `${JSON.stringify(name)} ${reason}`);
  if (!isObject(value)) throw fail("must be described by an object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isStoredType(dtype)) throw fail(`has the unknown dtype ${JSON.stringify(dtype)}`);
  if (!Array.isArray(shape)) throw fail("must have a shape");
  const byteLength = tensorBytes(dtype, shape);
  if (byteLength === undefined) {
    throw fail(`must have a shape of whole sizes that fit a file: it is ${JSON.stringify(shape)}`);
  }
  const isOffset = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isOffset)) {
    throw fail(`must have two data_offsets from 0: they are ${JSON.stringify(offsets)}`);
  }
  const [begin, end] = offsets;
  if (end - begin !== byteLength) {
    throw fail(
      `must have ${byteLength} bytes for ${dtype} [${shape.join(", ")}]: ` +
        `its data_offsets are [${begin}, ${end}]`,
    );
  }
  return { dtype, shape, byteLength, begin: base + begin, end: base + end };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The first thing in a valid JSON text that JSON.parse takes and the format does not: a key that an
 * object has twice, one that is no Unicode, or a number that is not written as a whole one.
 */
function findFault(json: string): string | undefined {
  const objects: Set<string>[] = [];
  const number = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
  let text = "";
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (character === '"') {
      const end = endOfString(json, at);
      text = json.slice(at, end + 1);
      at = end;
    } else if (character === "{") objects.push(new Set());
    else if (character === "}") objects.pop();
    else if (character === ":") {
      const key: string = JSON.parse(text);
      const keys = objects[objects.length - 1];
      if (keys.has(key)) return `the key ${text} twice`;
      if (!key.isWellFormed()) return `the key ${text}, which is no text`;
      keys.add(key);
    } else if (character === "-" || character >= "0" && character <= "9") {
      number.lastIndex = at;
      const [digits] = number.exec(json)!;
      if (/[.eE]|^-0/.test(digits)) return `the number ${digits}, which is not a whole one`;
      at += digits.length - 1;
    }
  }
  return undefined;
}

/** Index of the quote that closes the string which `begin` opens. */
function endOfString(json: string, begin: number): number {
  let end = begin;
  let escapes: number;
  do {
    end = json.indexOf('"', end + 1);
    escapes = 0;
    while (json[end - 1 - escapes] === "\\") escapes++;
  } while (escapes % 2 === 1);
  return end;
}
