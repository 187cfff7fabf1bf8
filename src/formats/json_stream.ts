/**
 * Streams the elements of a JSON array or of a JSONL file of any size: where they are is found first,
 * then they are read and parsed some at a time.
 *
 * @module
 */
import { brokenElement, type ElementPlace, findElements } from "./json_borders.ts";
import { JsonSyntaxError, parseJson } from "./json_exact.ts";

/** One element of a data file. */
export interface JsonElement {
  /** The value, as `JSON.parse` gives it; `NaN` and `Infinity` are read too. */
  value: unknown;
  /** Its JSON text, for those who need number texts or key order. */
  text: string;
  /** Position among the elements, from 0. */
  index: number;
  /** Line of the file on which it begins, from 1. */
  line: number;
  /** First byte and byte after the last one in the file. */
  bytes: [begin: number, end: number];
}

/** Neighbouring elements by their place in the file: what one worker reads at once. */
export interface JsonSpan {
  /** Index of the first element, from 0. */
  first: number;
  /** First byte of each element. */
  begins: number[];
  /** Byte after each element. */
  ends: number[];
  /** Line on which each element begins, from 1. */
  lines: number[];
}

/** Sizes of the reader; the defaults suit all but tests. */
export interface JsonStreamOptions {
  /** Bytes read at a time while scanning (default 4 MiB). */
  blockBytes?: number;
  /** Bytes after which a span ends (default 1 MiB); one longer element makes a longer span. */
  spanBytes?: number;
}

/**
 * Yields every element in file order. Memory is a block and a span.
 *
 * @throws {SyntaxError} If the file is not JSON; names file, element, line and byte
 */
export function* elements(
  path: string,
  options: JsonStreamOptions = {},
): Generator<JsonElement> {
  const scratch = { bytes: new Uint8Array(0) };
  for (const span of spans(path, options)) yield* readSpan(path, span, scratch);
}

/**
 * Yields where the elements are, without parsing them. Memory is one block.
 *
 * @throws {SyntaxError} If brackets, quotes or commas between elements are broken
 */
export function* spans(path: string, options: JsonStreamOptions = {}): Generator<JsonSpan> {
  const { blockBytes = 4 << 20, spanBytes = 1 << 20 } = options;
  using file = Deno.openSync(path);
  let span: JsonSpan = { first: 0, begins: [], ends: [], lines: [] };
  for (const { begin, end, line } of findElements(path, file, blockBytes)) {
    span.begins.push(begin);
    span.ends.push(end);
    span.lines.push(line);
    if (end - span.begins[0]! < spanBytes) continue;
    yield span;
    span = { first: span.first + span.begins.length, begins: [], ends: [], lines: [] };
  }
  if (span.begins.length > 0) yield span;
}

/**
 * Reads and parses the elements of a span.
 *
 * @param scratch Its bytes are read into, and replaced when too few; used until the last element
 * @throws {SyntaxError} If an element is not JSON or not UTF-8
 */
export function* readSpan(
  path: string,
  span: JsonSpan,
  scratch: { bytes: Uint8Array } = { bytes: new Uint8Array(0) },
): Generator<JsonElement> {
  const from = span.begins[0]!, size = span.ends.at(-1)! - from;
  if (scratch.bytes.length < size) scratch.bytes = new Uint8Array(size + (size >> 3));
  const bytes = scratch.bytes.subarray(0, size);
  readRange(path, from, bytes);
  for (let i = 0; i < span.begins.length; i++) {
    const begin = span.begins[i]!, end = span.ends[i]!;
    const where = { index: span.first + i, line: span.lines[i]!, begin };
    const text = decode(path, where, bytes.subarray(begin - from, end - from));
    const value = parse(path, where, text);
    yield { value, text, index: where.index, line: where.line, bytes: [begin, end] };
  }
}

function readRange(path: string, begin: number, into: Uint8Array): void {
  using file = Deno.openSync(path);
  file.seekSync(begin, Deno.SeekMode.Start);
  for (let have = 0; have < into.length;) {
    const got = file.readSync(into.subarray(have));
    if (got === null) throw new SyntaxError(`Cannot read ${path}: it became shorter while read`);
    have += got;
  }
}

// ignoreBOM: a decoder drops U+FEFF at the start of what it decodes, which here is text
const strict = () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const decoder = strict();

function decode(path: string, where: ElementPlace, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    let good = 0, bad = bytes.length; // a prefix of `good` bytes decodes, one of `bad` does not
    while (bad - good > 1) {
      const middle = (good + bad) >> 1;
      try {
        strict().decode(bytes.subarray(0, middle), { stream: true });
        good = middle;
      } catch {
        bad = middle;
      }
    }
    throw brokenElement(path, where, where.begin + good, "the text is not valid UTF-8");
  }
}

function parse(path: string, where: ElementPlace, text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    const before = text.slice(0, error.position);
    const line = where.line + before.split("\n").length - 1;
    const byte = where.begin + new TextEncoder().encode(before).length;
    throw brokenElement(path, { ...where, line }, byte, error.message);
  }
}
