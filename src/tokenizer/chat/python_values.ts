/** How Python compares and writes the values that templates work with. @module */
import { Environment } from "@huggingface/jinja";
import { WholeFloat } from "../../formats/json_exact.ts";
import { pythonFloat, rawFloat } from "../../formats/python_float.ts";

/** A value of the template engine, by what is asked of it here. */
export interface Value {
  /** Its kind, such as `StringValue`. */
  type: string;
  /** A text, number, boolean, null or undefined; a list of values, a map to values, or a function. */
  value: unknown;
  /** Its truth. */
  __bool__(): { value: boolean };
  /** Its text; Python has others for what is no number. */
  toString(): string;
}

const environment = new Environment();

/** The engine's value of plain data that holds no {@linkcode WholeFloat}. */
export function toValue(plain: unknown): Value {
  environment.variables.clear();
  return environment.set("value", plain);
}

/** The engine's value of what was read from JSON. */
export function fromJson(plain: unknown): Value {
  if (plain instanceof WholeFloat) return floatOf(Number(plain));
  if (Array.isArray(plain)) return listOf(plain.map(fromJson));
  if (typeof plain !== "object" || plain === null) return toValue(plain);
  return dictOf(Object.entries(plain).map(([key, entry]) => [key, fromJson(entry)]));
}

/** The same value for the engine's `tojson`: floats are the texts that Python gives them. */
export function withFloatTexts(value: Value): Value {
  const items = itemsOf(value), entries = entriesOf(value);
  if (items) return listOf(items.map(withFloatTexts));
  if (entries) return dictOf([...entries].map(([key, entry]) => [key, withFloatTexts(entry)]));
  const isFinite = value.type === "FloatValue" && Number.isFinite(value.value);
  return isFinite ? floatOf(rawFloat(value.value as number)) : value;
}

function floatOf(value: unknown): Value {
  return Object.assign(toValue(0.5), { value });
}

function listOf(items: readonly Value[]): Value {
  return Object.assign(toValue([]), { value: items });
}

function dictOf(entries: readonly (readonly [string, Value])[]): Value {
  const dict = toValue({});
  for (const [key, entry] of entries) (dict.value as Map<string, Value>).set(key, entry);
  return dict;
}

/** Items of a list; undefined for anything else. */
export function itemsOf({ value }: Value): readonly Value[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

/** Entries of a dictionary; undefined for anything else. */
export function entriesOf({ value }: Value): ReadonlyMap<string, Value> | undefined {
  return value instanceof Map ? value : undefined;
}

/** `a == b` of Python: strings are not numbers, and lists and dictionaries are equal by content. */
export function equals(a: Value, b: Value): boolean {
  const left = itemsOf(a), right = itemsOf(b);
  if (left && right) {
    return left.length === right.length && left.every((item, i) => equals(item, right[i]!));
  }
  const from = entriesOf(a), to = entriesOf(b);
  if (from && to) {
    return from.size === to.size &&
      [...from].every(([key, item]) => to.has(key) && equals(item, to.get(key)!));
  }
  const number = ({ value }: Value) => typeof value === "boolean" ? Number(value) : value;
  return number(a) === number(b);
}

/** `str(value)`. */
export function toText(value: Value): string {
  return value.type === "StringValue" ? value.value as string : toRepr(value);
}

/** `repr(value)`. */
function toRepr(value: Value): string {
  const items = itemsOf(value), entries = entriesOf(value);
  if (items) {
    const all = items.map(toRepr).join(", ");
    if (value.type !== "TupleValue") return `[${all}]`;
    return items.length === 1 ? `(${all},)` : `(${all})`;
  }
  if (entries) {
    return `{${[...entries].map(([k, v]) => `${quote(k)}: ${toRepr(v)}`).join(", ")}}`;
  }
  switch (value.type) {
    case "NullValue":
      return "None";
    case "UndefinedValue":
      return "";
    case "BooleanValue":
      return value.value ? "True" : "False";
    case "StringValue":
      return quote(value.value as string);
    case "IntegerValue":
      return value.toString();
    case "FloatValue": {
      const number = value.value as number;
      return Number.isFinite(number) ? pythonFloat(number) : value.toString();
    }
  }
  throw new TypeError(`Cannot write a ${value.type} as text`);
}

function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/[\\\n\r\t'\p{Cc}]/gu, (c) => {
    if (c === "'") return mark === "'" ? "\\'" : c;
    const short = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" }[c];
    return short ?? `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return mark + escaped + mark;
}

const SPACE =
  "\\t-\\r\\x1c-\\x1f \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

/**
 * `str.strip`, `lstrip` or `rstrip`.
 *
 * @param characters What is taken away; default: white space, as Python has it
 */
export function strip(
  text: string,
  side: "strip" | "lstrip" | "rstrip",
  characters?: string,
): string {
  const set = characters === undefined
    ? SPACE
    : [...characters].map((c) => `\\u{${c.codePointAt(0)!.toString(16)}}`).join("");
  if (set === "") return text;
  if (side !== "rstrip") text = text.replace(new RegExp(`^[${set}]+`, "u"), "");
  if (side === "lstrip") return text;
  const tail = new RegExp(`^[${set}]$`, "u"), all = [...text];
  let end = all.length;
  while (end > 0 && tail.test(all[end - 1]!)) end--;
  return all.slice(0, end).join("");
}

/** `str.title`: letters after anything that is no letter are capitals, the others small. */
export function title(text: string): string {
  return text.replace(/\p{L}+/gu, capitalize);
}

/** `str.capitalize`. */
export function capitalize(text: string): string {
  const [first = "", ...rest] = text;
  return first.toUpperCase() + rest.join("").toLowerCase();
}
