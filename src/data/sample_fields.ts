/**
 * The fields of one sample; every complaint names the file, the line, the sample and the field.
 * @module
 */
import { ConfigError } from "../config/config_error.ts";
import { nearest } from "../config/nearest.ts";
import { type ExactJson, parseExact, plainWithFloats } from "../formats/json_exact.ts";
import type { JsonElement } from "../formats/json_stream.ts";

/** Steps from a sample to a value in it. */
export type Path = (string | number)[];

/** Found in every JSON text of which JSON.parse loses a float or the order of keys, and in few others. */
const IS_LOST = /\d(?:\.0+(?!\d)|[eE])|"\d+"\s*:/;

/** Typed access to the fields of a sample. */
export class Fields {
  readonly #path: string;
  readonly #element: JsonElement;
  readonly #object: Record<string, unknown>;
  #exact: ExactJson | undefined;

  /** Begins to read a sample. @throws {ConfigError} If it is not an object */
  constructor(path: string, element: JsonElement) {
    this.#path = path;
    this.#element = element;
    if (kindOf(element.value) !== "an object") {
      this.fail(undefined, `must be an object, but is ${kindOf(element.value)}`);
    }
    this.#object = element.value as Record<string, unknown>;
  }

  /** Complains of a field, or of the whole sample. */
  fail(field: string | undefined, problem: string): never {
    const { index, line } = this.#element;
    throw new ConfigError(
      `Cannot use sample [${index}] of ${this.#path} (line ${line}): ` +
        (field === undefined ? `a sample ${problem}` : `field "${field}" ${problem}`),
    );
  }

  /** Complains that a field is missing; a near name may be the reason. */
  missing(field: string): never {
    const found = nearest(field, Object.keys(this.#object));
    return this.fail(field, `is missing${found === undefined ? "" : ` (there is "${found}")`}`);
  }

  /** A field as it is. */
  raw(name: string): unknown {
    return Object.hasOwn(this.#object, name) ? this.#object[name] : undefined;
  }

  /** A field as it is, with floats such as `2.0` kept apart from integers, and keys in order. */
  withFloats(name: string): unknown {
    const value = this.raw(name);
    const isKept = value === undefined || !IS_LOST.test(this.#element.text);
    return isKept ? value : plainWithFloats(this.exact([name]));
  }

  /** Whether a field is there and not null. */
  has(name: string): boolean {
    return Object.hasOwn(this.#object, name) && this.#object[name] !== null;
  }

  /** The value at a path with number texts and key order kept. */
  exact(path: Path): ExactJson {
    let value = this.#exact ??= parseExact(this.#element.text);
    for (const step of path) {
      value = value instanceof Map
        ? value.get(step as string)!
        : (value as ExactJson[])[step as number]!;
    }
    return value;
  }

  /** A field that must be text. */
  text(name: string): string {
    if (!Object.hasOwn(this.#object, name)) this.missing(name);
    return this.textAt(name, this.#object[name]);
  }

  /** A value that must be text. */
  textAt(field: string, value: unknown): string {
    if (typeof value !== "string") this.fail(field, `must be text, but is ${kindOf(value)}`);
    if (!value.isWellFormed()) this.fail(field, "holds half of a surrogate pair (\\ud800-\\udfff)");
    return value;
  }

  /** A field that must be a list of ids; labels may be -100. */
  ids(name: string, vocabSize: number | undefined, isLabels: boolean): Int32Array {
    const list = this.#object[name];
    if (list === undefined) this.missing(name);
    if (!Array.isArray(list)) this.fail(name, `must be a list of ids, but is ${kindOf(list)}`);
    const limit = vocabSize ?? 2 ** 31;
    const bad = list.findIndex((id) =>
      !(Number.isInteger(id) && id >= 0 && id < limit || isLabels && id === -100)
    );
    if (bad >= 0) {
      const range = vocabSize === undefined
        ? "an id (0 or more)"
        : `an id below the vocabulary size ${vocabSize}`;
      this.fail(
        `${name}[${bad}]`,
        `must be ${range}${isLabels ? " or -100" : ""}, but is ${JSON.stringify(list[bad])}`,
      );
    }
    return Int32Array.from(list);
  }
}

/** What a value is, for messages. */
export function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? "text" : `a ${typeof value}`;
}
