/** How Python compares and writes the values that templates work with. @module */
import { Environment } from "@huggingface/jinja";
import { keysOf, WholeFloat } from "../../formats/json_exact.ts";
import { pythonFloat } from "../../formats/python_float.ts";
import { quote } from "../python_text.ts";

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
  return dictOf(
    keysOf(plain).map((key) => [key, fromJson((plain as Record<string, unknown>)[key])]),
  );
}

/** A `float`. */
export function floatOf(value: unknown): Value {
  return Object.assign(toValue(0.5), { value });
}

/** An `int`; those that JavaScript cannot hold exactly are refused. */
export function integerOf(value: number): Value {
  if (!Number.isSafeInteger(value)) throw new RangeError("integers beyond 2**53 are not supported");
  return toValue(value === 0 ? 0 : value);
}

/** A `list`. */
export function listOf(items: readonly Value[]): Value {
  return Object.assign(toValue([]), { value: items });
}

/** A `tuple`. */
export function tupleOf(items: readonly Value[]): Value {
  return Object.assign(toValue([]), { value: items, type: "TupleValue" });
}

/** A generator or a view of a dict: it can be gone through, but has no items by index. */
export function iterableOf(
  type: "Generator" | "range" | "dict_keys" | "dict_values" | "dict_items",
  items: readonly Value[],
): Value {
  return Object.assign(toValue([]), { value: items, type });
}

/** A key of a `dict`: a text or an `int`. */
export type Key = string | number;

/** What finds an entry of a `dict`; undefined for what is equal to no such key. */
export function keyOf(value: Value): Key | undefined {
  return value.type === "StringValue" ? value.value as string : numberOf(value);
}

/** As {@linkcode keyOf}. @throws {TypeError} If the value cannot be a key */
export function expectKey(value: Value): Key | undefined {
  if (itemsOf(value) || entriesOf(value)) throw new TypeError(`${kind(value)} is no key`);
  return keyOf(value);
}

/** A `dict`. */
export function dictOf(entries: Iterable<readonly [Key, Value]>): Value {
  return Object.assign(toValue({}), { value: new Map(entries) });
}

/** A function that templates can call. */
export function functionOf(call: (args: Value[]) => Value): Value {
  return Object.assign(toValue(() => null), { value: call });
}

/** Items of a list and of all that is like one; undefined for anything else. */
export function itemsOf({ value }: Value): readonly Value[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

/** Entries of a dictionary; undefined for anything else. */
export function entriesOf({ value }: Value): ReadonlyMap<Key, Value> | undefined {
  return value instanceof Map ? value : undefined;
}

/** Whether a value is a list or a tuple. */
export function isSequence({ type }: Value): boolean {
  return type === "ArrayValue" || type === "TupleValue";
}

/** A number, a `bool` too; undefined for anything else. */
export function numberOf({ type, value }: Value): number | undefined {
  return /^(Integer|Float|Boolean)Value$/.test(type) ? Number(value) : undefined;
}

/** `bool(value)`. */
export function isTrue(value: Value): boolean {
  return value.type === "Generator" || value.type === "NamespaceValue" || value.__bool__().value;
}

/** What `for` goes through. A generator is gone through once: then it is refused. */
export function iterate(source: Value): readonly Value[] {
  if (source.type === "Generator") {
    if (spent.has(source)) {
      throw new TypeError("a generator is used twice: make a list of it by |list");
    }
    spent.add(source);
  }
  const items = itemsOf(source);
  if (items) return items;
  if (source.type === "ObjectValue") return [...entriesOf(source)!.keys()].map(toValue);
  if (source.type === "StringValue") return [...source.value as string].map(toValue);
  if (source.type === "UndefinedValue") return [];
  throw new TypeError(`cannot go through ${kind(source)}`);
}

const spent = new WeakSet<Value>();

/** `a == b` of Python: strings are not numbers, and lists and dictionaries are equal by content. */
export function equals(a: Value, b: Value): boolean {
  const x = numberOf(a), y = numberOf(b);
  if (x !== undefined && y !== undefined) return x === y;
  if (a.type !== b.type) return false;
  const left = itemsOf(a), right = itemsOf(b);
  if (left && right) {
    if (!isSequence(a) && a !== b) {
      throw new TypeError(`a comparison of ${kind(a)} is not supported`);
    }
    return left.length === right.length && left.every((item, i) => equals(item, right[i]!));
  }
  const from = entriesOf(a), to = entriesOf(b);
  if (from && to && a.type === "ObjectValue") {
    return from.size === to.size &&
      [...from].every(([key, item]) => to.has(key) && equals(item, to.get(key)!));
  }
  return a.value === b.value;
}

/** Negative, 0 or positive, as a is less than, equal to or greater than b in Python. */
export function order(a: Value, b: Value): number {
  const x = numberOf(a), y = numberOf(b);
  if (x !== undefined && y !== undefined && !Number.isNaN(x - y)) return x < y ? -1 : x > y ? 1 : 0;
  if (a.type === "StringValue" && b.type === "StringValue") {
    const [s, t] = [[...a.value as string], [...b.value as string]];
    const at = s.findIndex((c, i) => c !== t[i]);
    if (at < 0 || at >= t.length) return s.length - t.length;
    return s[at]!.codePointAt(0)! - t[at]!.codePointAt(0)!;
  }
  const left = itemsOf(a), right = itemsOf(b);
  if (!left || !right || a.type !== b.type || !isSequence(a)) {
    throw new TypeError(`there is no order of ${kind(a)} and ${kind(b)}`);
  }
  const at = left.findIndex((item, i) => i >= right.length || !equals(item, right[i]!));
  if (at < 0 || at >= right.length) return left.length - right.length;
  return order(left[at]!, right[at]!);
}

const marked = new WeakSet<Value>();

/** The same text, marked as `safe` marks it: what is added to it would be escaped. */
export function markSafe(value: Value): Value {
  const text = toValue(toText(value));
  marked.add(text);
  return text;
}

/** A text as HTML has it, marked as safe; one that is marked already stays. */
export function escapeHtml(value: Value): Value {
  if (isSafe(value)) return value;
  return markSafe(toValue(toText(value).replace(/[&<>'"]/g, (c) => HTML[c]!)));
}

const HTML: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&#39;",
  '"': "&#34;",
};

/** Whether a text is marked as safe. */
export function isSafe(value: Value): boolean {
  return marked.has(value);
}

/** `str(value)`. */
export function toText(value: Value): string {
  if (value.type === "UndefinedValue") return "";
  return value.type === "StringValue" ? value.value as string : toRepr(value);
}

/** `repr(value)`. */
export function toRepr(value: Value): string {
  const items = itemsOf(value), entries = entriesOf(value);
  if (items && value.type !== "Generator" && value.type !== "range") {
    const all = items.map(toRepr).join(", ");
    if (value.type === "ArrayValue") return `[${all}]`;
    if (value.type !== "TupleValue") return `${value.type}([${all}])`;
    return items.length === 1 ? `(${all},)` : `(${all})`;
  }
  switch (value.type) {
    case "ObjectValue":
      return `{${[...entries!].map(([k, v]) => `${toRepr(toValue(k))}: ${toRepr(v)}`).join(", ")}}`;
    case "NamespaceValue":
      return `<Namespace ${toRepr(dictOf(entries!))}>`;
    case "NullValue":
      return "None";
    case "UndefinedValue":
      return "Undefined";
    case "BooleanValue":
      return value.value ? "True" : "False";
    case "StringValue":
      return isSafe(value)
        ? `Markup(${quote(value.value as string)})`
        : quote(value.value as string);
    case "IntegerValue":
      return integerOf(value.value as number).toString();
    case "FloatValue": {
      const number = value.value as number;
      if (Number.isFinite(number)) return pythonFloat(number);
      return Number.isNaN(number) ? "nan" : number > 0 ? "inf" : "-inf";
    }
  }
  throw new TypeError(`cannot write ${kind(value)} as text`);
}

/** A value's kind, for messages. */
export function kind({ type }: Value): string {
  return `a value of type ${type.replace("Value", "").toLowerCase()}`;
}
