/** Arguments of the functions, methods and filters that are written here. @module */
import { toValue, type Value } from "./python_values.ts";

/** Stands for the default of a parameter that has none. */
export const REQUIRED = Symbol("required");

/** What text methods and filters work with: an `int` is a number, a list or tuple an array. */
export type Plain = string | number | boolean | null | Plain[];

/** Defaults by name, in order. A name that begins with `_` cannot be given by name. */
export type Signature = Readonly<Record<string, Plain | Value | typeof REQUIRED>>;

/** Arguments of a call. */
export interface Given {
  /** In order. */
  args: readonly Value[];
  /** By name. */
  keywords: ReadonlyMap<string, Value>;
}

/**
 * The value of each parameter.
 *
 * @throws {TypeError} If there are too many arguments or too few, or one has an unknown name
 */
export function bind(name: string, signature: Signature, { args, keywords }: Given): Value[] {
  const names = Object.keys(signature);
  if (args.length > names.length) throw new TypeError(`${name} takes ${names.length} arguments`);
  for (const keyword of keywords.keys()) {
    const at = keyword.startsWith("_") ? -1 : names.indexOf(keyword);
    if (at < args.length) throw new TypeError(`${name} does not take the argument ${keyword}`);
  }
  return names.map((parameter, i) => {
    const value = i < args.length ? args[i] : keywords.get(parameter), other = signature[parameter];
    if (value !== undefined) return value;
    if (other !== REQUIRED) return isValue(other) ? other : toValue(other);
    throw new TypeError(`${name} needs the argument ${parameter.replace(/^_/, "")}`);
  });
}

function isValue(value: unknown): value is Value {
  return typeof value === "object" && value !== null && "type" in value;
}

/** As {@linkcode bind}, with plain values. */
export function bindPlain(name: string, signature: Signature, given: Given): Plain[] {
  return bind(name, signature, given).map((value) => toPlain(name, value));
}

function toPlain(name: string, { type, value }: Value): Plain {
  if (Array.isArray(value)) return (value as Value[]).map((item) => toPlain(name, item));
  if (type === "NullValue") return null;
  if (/^(String|Integer|Boolean)Value$/.test(type)) return value as Plain;
  throw new TypeError(`${name} does not take this ${type.replace("Value", "").toLowerCase()}`);
}

/** An argument that has to be a text. */
export function asText(value: Plain): string {
  if (typeof value !== "string") throw new TypeError(`${value} is no text`);
  return value;
}

/** An argument that has to be an `int`. */
export function asInteger(value: Plain): number {
  if (Number.isInteger(value) || typeof value === "boolean") return Number(value);
  throw new TypeError(`${value} is no integer`);
}
