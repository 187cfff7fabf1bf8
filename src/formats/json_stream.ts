/**
 * Streams the elements of a JSON array or of a JSONL file of any size. A scanner finds only the
 * borders of elements (quote to quote, brackets outside strings) in blocks, so it never holds an
 * element; elements are then read and parsed some at a time.
 *
 * The kind of file is told by its first byte: `[` is an array, anything else one value per line.
 * A byte order mark is skipped at the start of the file, and kept everywhere else.
 * @module
 */
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
  const source = new Blocks(file, blockBytes);
  const kind = source.kind(path);
  if (kind === "empty") return;
  const found = kind === "array" ? arrayElements(path, source) : lineElements(source);
  let span: JsonSpan = { first: 0, begins: [], ends: [], lines: [] };
  for (const { begin, end, line } of found) {
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

interface Where {
  index: number;
  line: number;
  begin: number;
}

function broken(path: string, where: Where, byte: number, what: string): SyntaxError {
  return new SyntaxError(
    `Cannot read element [${where.index}] of ${path} (line ${where.line}, byte ${byte}): ${what}`,
  );
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

function decode(path: string, where: Where, bytes: Uint8Array): string {
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
    throw broken(path, where, where.begin + good, "the text is not valid UTF-8");
  }
}

function parse(path: string, where: Where, text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    const before = text.slice(0, error.position);
    const line = where.line + before.split("\n").length - 1;
    const byte = where.begin + new TextEncoder().encode(before).length;
    throw broken(path, { ...where, line }, byte, error.message);
  }
}

interface Found {
  begin: number;
  end: number;
  line: number;
}

const SPACE = 32, TAB = 9, LF = 10, CR = 13, QUOTE = 34, BACKSLASH = 92, COMMA = 44;
const OPEN = 91, CLOSE = 93, OPEN_OBJECT = 123, CLOSE_OBJECT = 125;
const isSpace = (c: number) => c === SPACE || c === LF || c === CR || c === TAB;

/** The bytes of a file, block by block: `bytes[0]` is byte `base` of the file. */
class Blocks {
  bytes: Uint8Array;
  base = 0;
  readonly #file: Deno.FsFile;
  readonly #buffer: Uint8Array;

  constructor(file: Deno.FsFile, blockBytes: number) {
    this.#file = file;
    this.#buffer = new Uint8Array(blockBytes);
    this.bytes = this.#buffer.subarray(0, 0);
  }

  next(): boolean {
    const got = this.#file.readSync(this.#buffer);
    if (got === null) return false;
    this.base += this.bytes.length;
    this.bytes = this.#buffer.subarray(0, got);
    return true;
  }

  /** Looks at the first byte that is not space, and goes back to the start of the text. */
  kind(path: string): "empty" | "array" | "lines" {
    const head = new Uint8Array(3);
    let have = 0;
    for (let got; have < 3 && (got = this.#file.readSync(head.subarray(have))) !== null;) {
      have += got;
    }
    const hasMark = have === 3 && head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf;
    const start = hasMark ? 3 : 0;
    const rewind = () => {
      this.#file.seekSync(start, Deno.SeekMode.Start);
      this.base = start;
      this.bytes = this.#buffer.subarray(0, 0);
    };
    rewind();
    while (this.next()) {
      const at = this.bytes.findIndex((c) => !isSpace(c));
      if (at < 0) continue;
      const c = this.bytes[at]!, byte = this.base + at;
      rewind();
      if (c === OPEN) return "array";
      if ('{"-0123456789tfnNI'.includes(String.fromCharCode(c))) return "lines";
      throw new SyntaxError(
        `Cannot read ${path}: it must begin with "[" (a JSON array) or "{" (one JSON object per ` +
          `line) in UTF-8, but byte ${byte} is 0x${c.toString(16).padStart(2, "0")}`,
      );
    }
    return "empty";
  }
}

function* lineElements(source: Blocks): Generator<Found> {
  let begin = -1, line = 1;
  while (source.next()) {
    const { bytes, base } = source;
    for (let i = 0; i < bytes.length;) {
      if (begin < 0) {
        const c = bytes[i]!;
        if (c === LF) line++;
        if (isSpace(c)) {
          i++;
          continue;
        }
        begin = base + i;
      }
      const end = bytes.indexOf(LF, i);
      if (end < 0) break;
      yield { begin, end: base + end, line };
      begin = -1;
      i = end; // the newline is counted above
    }
  }
  if (begin >= 0) yield { begin, end: source.base + source.bytes.length, line };
}

function* arrayElements(path: string, source: Blocks): Generator<Found> {
  let need: "open" | "first" | "value" | "comma" | "end" = "open";
  let begin = -1, beginLine = 0, line = 1, index = 0, depth = 0;
  let inString = false, slashes = 0; // backslashes that end the block before this one
  const fail = (byte: number, what: string) =>
    broken(path, { index, line, begin: byte }, byte, what);
  while (source.next()) {
    const { bytes, base } = source;
    for (let i = 0; i < bytes.length;) {
      if (inString) { // jump from quote to quote; an odd run of backslashes escapes it
        const quote = bytes.indexOf(QUOTE, i);
        const stop = quote < 0 ? bytes.length : quote;
        let b = stop;
        while (b > i && bytes[b - 1] === BACKSLASH) b--;
        const run = stop - b + (b === i ? slashes : 0);
        slashes = quote < 0 ? run : 0;
        if (quote < 0) break;
        i = quote + 1;
        if (run % 2 === 0) inString = false;
        continue;
      }
      const c = bytes[i]!;
      if (c === LF) line++;
      if (depth > 1) { // inside an element: only strings and brackets matter
        i++;
        if (c === QUOTE) inString = true;
        else if (c === OPEN_OBJECT || c === OPEN) depth++;
        else if ((c === CLOSE_OBJECT || c === CLOSE) && --depth === 1) {
          yield { begin, end: base + i, line: beginLine };
          index++;
          begin = -1;
          need = "comma";
        }
        continue;
      }
      if (begin >= 0 && (isSpace(c) || c === COMMA || c === CLOSE)) { // a scalar element ends
        yield { begin, end: base + i, line: beginLine };
        index++;
        begin = -1;
        need = "comma";
      }
      if (isSpace(c)) {
        // between elements
      } else if (need === "open") {
        depth = 1;
        need = "first";
      } else if (need === "end") {
        throw fail(base + i, "there is text after the end of the array");
      } else if (c === CLOSE) {
        if (need === "value") throw fail(base + i, "a comma stands before the end of the array");
        depth = 0;
        need = "end";
      } else if (c === COMMA) {
        if (need !== "comma") throw fail(base + i, "expected an element but found a comma");
        need = "value";
      } else {
        if (begin < 0) {
          if (need === "comma") throw fail(base + i, "expected a comma before this element");
          begin = base + i;
          beginLine = line;
        }
        if (c === QUOTE) inString = true;
        else if (c === OPEN_OBJECT || c === OPEN) depth++;
      }
      i++;
    }
  }
  if (need === "end") return;
  const where = begin < 0 ? { index, line, begin } : { index, line: beginLine, begin };
  throw broken(
    path,
    where,
    begin < 0 ? source.base + source.bytes.length : begin,
    begin < 0
      ? 'the file ends before the "]" of the array'
      : "the file ends inside this element (a quote or bracket is not closed)",
  );
}
