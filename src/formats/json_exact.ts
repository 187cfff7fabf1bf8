/**
 * A JSON parser that keeps what `JSON.parse` loses: the text of numbers (`3.0` is not `3`, integers
 * of any size) and the order of all keys (`"1"` too). Like Python's `json`, it also reads `NaN`,
 * `Infinity` and `-Infinity`. It is slower than `JSON.parse`: for values that are shown again, and
 * for saying where a broken text breaks.
 * @module
 */

/** A number by its text in the file, such as `3.0`, `1E5`, `-Infinity`. */
export class JsonNumber {
  /** The text. */
  readonly source: string;
  /** Takes the text of a JSON number, or `NaN`, `Infinity`, `-Infinity`. */
  constructor(source: string) {
    this.source = source;
  }
  /** Whether the text has neither fraction nor exponent. */
  get isInteger(): boolean {
    return /^-?\d+$/.test(this.source);
  }
}

/** A JSON value whose objects are maps in file order. */
export type ExactJson =
  | null
  | boolean
  | string
  | JsonNumber
  | ExactJson[]
  | Map<string, ExactJson>;

/** A text that is not JSON: `position` is the UTF-16 index where it breaks. */
export class JsonSyntaxError extends SyntaxError {
  /** UTF-16 index in the text. */
  readonly position: number;
  /** Says what was expected and found, and where. */
  constructor(message: string, position: number) {
    super(message);
    this.name = "JsonSyntaxError";
    this.position = position;
  }
}

/**
 * Parses one JSON value, with whitespace around it.
 * @throws {JsonSyntaxError} If the text is not JSON, or nested deeper than 1000
 */
export function parseExact(text: string): ExactJson {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.skipSpace();
  if (parser.at < text.length) parser.fail("the end of the value");
  return value;
}

/**
 * Parses one JSON value as `JSON.parse` should. V8 (13.6 to 15.0 at least) may give a wrong key
 * when an object has an escape in a key: those texts, and `NaN` and `Infinity`, take the slow way.
 *
 * @throws {JsonSyntaxError} If the text is not JSON
 * @see https://github.com/nodejs/node/issues/63785
 */
export function parseJson(text: string): unknown {
  if (!ESCAPED_KEY.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      // not JSON or not quite: the parser below says where, or reads it
    }
  }
  return plainJson(parseExact(text));
}

/**
 * A float that JavaScript would take for an integer, such as `2.0`. Elsewhere it is the number that
 * it holds: in arithmetic, for `Number(x)` and for JSON.stringify.
 */
export class WholeFloat extends Number {}

/** As {@linkcode plainJson}, with floats that are whole kept apart from integers; see {@linkcode keysOf}. */
export function plainWithFloats(value: ExactJson): unknown {
  if (value instanceof JsonNumber && !value.isInteger) {
    const number = Number(value.source);
    return Number.isInteger(number) ? new WholeFloat(number) : number;
  }
  if (Array.isArray(value)) return value.map(plainWithFloats);
  if (!(value instanceof Map)) return plainJson(value);
  return objectOf(value, plainWithFloats);
}

/** The same value as `JSON.parse` gives it: numbers as number, objects as objects. */
export function plainJson(value: ExactJson): unknown {
  if (value instanceof JsonNumber) return Number(value.source);
  if (Array.isArray(value)) return value.map(plainJson);
  if (!(value instanceof Map)) return value;
  return objectOf(value, plainJson);
}

const keyOrders = new WeakMap<object, readonly string[]>();

/**
 * Keys of an object in the order of the file, if it comes from {@linkcode plainWithFloats}. JavaScript
 * itself puts those that look like an index first.
 */
export function keysOf(object: object): readonly string[] {
  return keyOrders.get(object) ?? Object.keys(object);
}

function objectOf(
  map: Map<string, ExactJson>,
  convert: (value: ExactJson) => unknown,
): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  const keys = [...map.keys()];
  if (keys.some((key) => /^\d+$/.test(key))) keyOrders.set(object, keys);
  for (const [key, entry] of map) {
    // a key named __proto__ must become a property, not a prototype
    Object.defineProperty(object, key, {
      value: convert(entry),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return object;
}

const MAX_DEPTH = 1000;
const ESCAPED_KEY = /\\.[^"\\]*"\s*:/s; // the last escape of a string, its end, a colon
const NUMBER = /-?(?:Infinity|(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)/y;
// deno-lint-ignore no-control-regex
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const WORDS: [string, ExactJson][] = [
  ["true", true],
  ["false", false],
  ["null", null],
  ["NaN", new JsonNumber("NaN")],
];
const ESCAPES: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Parser {
  at = 0;
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }

  fail(expected: string): never {
    const found = this.at < this.#text.length
      ? JSON.stringify(String.fromCodePoint(this.#text.codePointAt(this.at)!))
      : "the end of the text";
    throw new JsonSyntaxError(`expected ${expected} but found ${found}`, this.at);
  }

  skipSpace(): void {
    for (;; this.at++) {
      const c = this.#text.charCodeAt(this.at);
      if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return;
    }
  }

  value(depth: number): ExactJson {
    if (depth > MAX_DEPTH) {
      throw new JsonSyntaxError(`nested deeper than ${MAX_DEPTH} levels`, this.at);
    }
    this.skipSpace();
    const c = this.#text[this.at];
    if (c === '"') return this.string();
    if (c === "{") return this.object(depth);
    if (c === "[") return this.array(depth);
    NUMBER.lastIndex = this.at;
    const number = NUMBER.exec(this.#text);
    if (number) {
      this.at += number[0].length;
      return new JsonNumber(number[0]);
    }
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.fail("a JSON value");
  }

  object(depth: number): Map<string, ExactJson> {
    const map = new Map<string, ExactJson>();
    this.at++;
    this.skipSpace();
    if (this.#text[this.at] === "}") {
      this.at++;
      return map;
    }
    for (;;) {
      this.skipSpace();
      if (this.#text[this.at] !== '"') this.fail("a key in double quotes");
      const key = this.string();
      this.skipSpace();
      if (this.#text[this.at] !== ":") this.fail('":" after the key');
      this.at++;
      map.set(key, this.value(depth + 1));
      this.skipSpace();
      const c = this.#text[this.at];
      if (c !== "," && c !== "}") this.fail('"," or "}"');
      this.at++;
      if (c === "}") return map;
    }
  }

  array(depth: number): ExactJson[] {
    const array: ExactJson[] = [];
    this.at++;
    this.skipSpace();
    if (this.#text[this.at] === "]") {
      this.at++;
      return array;
    }
    for (;;) {
      array.push(this.value(depth + 1));
      this.skipSpace();
      const c = this.#text[this.at];
      if (c !== "," && c !== "]") this.fail('"," or "]"');
      this.at++;
      if (c === "]") return array;
    }
  }

  string(): string {
    let out = "";
    this.at++;
    for (;;) {
      PLAIN.lastIndex = this.at;
      const run = PLAIN.exec(this.#text)![0];
      out += run;
      this.at += run.length;
      const c = this.#text[this.at];
      if (c === '"') {
        this.at++;
        return out;
      }
      if (c !== "\\") this.fail("a closing quote (control characters need an escape)");
      const escape = this.#text[this.at + 1] ?? "";
      if (escape === "u") {
        const hex = this.#text.slice(this.at + 2, this.at + 6);
        if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.fail("four hexadecimal digits after \\u");
        out += String.fromCharCode(parseInt(hex, 16));
        this.at += 6;
      } else {
        const plain = ESCAPES[escape];
        if (plain === undefined) this.fail("a valid escape");
        out += plain;
        this.at += 2;
      }
    }
  }
}
