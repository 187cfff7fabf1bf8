/**
 * Finds the borders of the elements of a JSON array or of a JSONL file (quote to quote, brackets
 * outside strings) in blocks, so that no element is ever held.
 *
 * The kind of file is told by its first byte: `[` is an array, anything else one value per line.
 * A byte order mark is skipped at the start of the file, and kept everywhere else.
 *
 * @module
 */

/** Where an element is in its file. */
export interface ElementBorders {
  /** Its first byte. */
  begin: number;
  /** The byte after its last one. */
  end: number;
  /** The line on which it begins, from 1. */
  line: number;
}

/** Which element an error is about. */
export interface ElementPlace {
  /** Its position among the elements, from 0. */
  index: number;
  /** The line, from 1. */
  line: number;
  /** Its first byte in the file. */
  begin: number;
}

/** The error of an element that cannot be read. @param byte Where in the file it shows */
export function brokenElement(
  path: string,
  { index, line }: ElementPlace,
  byte: number,
  what: string,
): SyntaxError {
  return new SyntaxError(
    `Cannot read element [${index}] of ${path} (line ${line}, byte ${byte}): ${what}`,
  );
}

/**
 * Yields the borders of every element, in file order. Memory is one block.
 *
 * @param path For messages
 * @throws {SyntaxError} If brackets, quotes or commas between elements are broken
 */
export function* findElements(
  path: string,
  file: Deno.FsFile,
  blockBytes: number,
): Generator<ElementBorders> {
  const source = new Blocks(file, blockBytes);
  const kind = source.kind(path);
  if (kind === "array") yield* arrayElements(path, source);
  else if (kind === "lines") yield* lineElements(source);
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

function* lineElements(source: Blocks): Generator<ElementBorders> {
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

function* arrayElements(path: string, source: Blocks): Generator<ElementBorders> {
  let need: "open" | "first" | "value" | "comma" | "end" = "open";
  let begin = -1, beginLine = 0, line = 1, index = 0, depth = 0;
  let inString = false, slashes = 0; // backslashes that end the block before this one
  const fail = (byte: number, what: string) =>
    brokenElement(path, { index, line, begin: byte }, byte, what);
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
  throw brokenElement(
    path,
    where,
    begin < 0 ? source.base + source.bytes.length : begin,
    begin < 0
      ? 'the file ends before the "]" of the array'
      : "the file ends inside this element (a quote or bracket is not closed)",
  );
}
