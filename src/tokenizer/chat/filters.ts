/** Filters, by what they take. @see pallets/jinja, src/jinja2/filters.py @module */
import {
  asInteger,
  asText,
  bind,
  bindPlain,
  type Given,
  REQUIRED,
  type Signature,
} from "./arguments.ts";
import { toJson } from "./python_json.ts";
import { fixed } from "./percent_format.ts";
import {
  entriesOf,
  equals,
  floatOf,
  integerOf,
  isSequence,
  itemsOf,
  iterableOf,
  iterate,
  kind,
  listOf,
  markSafe,
  numberOf,
  order,
  toText,
  toValue,
  tupleOf,
  type Value,
} from "./python_values.ts";
import { capitalize, SPACE, strip } from "./python_text.ts";
import { replace, splitLines } from "./string_methods.ts";
import { memberOf } from "./template_variables.ts";

/** What a filter gives for a value and its arguments. */
export type Filter = (value: Value, given: Given) => Value;

/** By name; those that call others are in the interpreter. */
export const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  [
    "abs",
    plain("abs", (value) => {
      const number = expectNumber(value);
      return value.type === "FloatValue" ? floatOf(Math.abs(number)) : integerOf(Math.abs(number));
    }),
  ],
  ["capitalize", ofText("capitalize", capitalize)],
  ["count", plain("count", lengthOf)],
  ["d", orDefault],
  ["default", orDefault],
  ["dictsort", sortDict],
  ["first", plain("first", (value) => iterate(value)[0] ?? toValue(undefined))],
  ["float", (value, given) => {
    const [other] = bind("float", { default: 0 }, given);
    const number = parseNumber(value);
    return number === undefined ? other ?? floatOf(0) : floatOf(number);
  }],
  ["indent", (value, given) => {
    const [width, first, blank] = bindPlain(
      "indent",
      { width: 4, first: false, blank: false },
      given,
    );
    const indention = typeof width === "string" ? width : " ".repeat(asInteger(width!));
    if (value.type !== "StringValue") throw new TypeError(`indent does not take ${kind(value)}`);
    const [head, ...others] = splitLines(`${value.value}\n`, false);
    const lines = others.map((line) => line !== "" || blank ? indention + line : line);
    return toValue((first ? indention : "") + [head, ...lines].join("\n"));
  }],
  ["int", (value, given) => {
    const [other] = bind("int", { default: 0 }, given);
    const number = parseNumber(value);
    return number === undefined ? other ?? integerOf(0) : integerOf(Math.trunc(number));
  }],
  [
    "items",
    plain("items", (value) => {
      const entries = value.type === "UndefinedValue" ? [] : expectDict(value);
      return iterableOf("Generator", [...entries].map(([k, v]) => tupleOf([toValue(k), v])));
    }),
  ],
  ["join", (value, given) => {
    const [separator, attribute] = bind("join", { d: "", attribute: null }, given);
    const get = getter(attribute), items = iterate(value).map((item) => toText(get(item)));
    return toValue(items.join(separator === undefined ? "" : toText(separator)));
  }],
  [
    "last",
    plain("last", (value) => {
      if (value.type === "Generator") throw new TypeError("last does not take a generator");
      return iterate(value).at(-1) ?? toValue(undefined);
    }),
  ],
  ["length", plain("length", lengthOf)],
  ["list", plain("list", (value) => listOf([...iterate(value)]))],
  ["lower", ofText("lower", (text) => text.toLowerCase())],
  ["max", extreme("max", 1)],
  ["min", extreme("min", -1)],
  ["replace", (value, given) => {
    const signature: Signature = { old: REQUIRED, new: REQUIRED, count: null };
    const [old, by, count] = bind("replace", signature, given);
    const times = count === undefined || count.type === "NullValue" ? -1 : expectNumber(count);
    return toValue(replace(toText(value), toText(old!), toText(by!), times));
  }],
  [
    "reverse",
    plain("reverse", (value) => {
      const items = [...iterate(value)].reverse();
      if (value.type === "StringValue") return toValue(items.map(toText).join(""));
      return value.type === "Generator" ? listOf(items) : iterableOf("Generator", items);
    }),
  ],
  ["round", (value, given) => {
    const [digits] = bindPlain("round", { precision: 0 }, given);
    const number = expectNumber(value), places = asInteger(digits!);
    if (places < 0 || !(Math.abs(number) < 1e21)) throw new RangeError("round: not supported");
    if (value.type !== "FloatValue") return integerOf(number);
    const rounded = Number(fixed(Math.abs(number), places));
    return floatOf(number < 0 || Object.is(number, -0) ? -rounded : rounded);
  }],
  ["safe", plain("safe", markSafe)],
  ["sort", (value, given) => {
    const signature = { reverse: false, case_sensitive: false, attribute: null };
    const [reverse, sensitive, attribute] = bind("sort", signature, given);
    const get = getter(attribute, !sensitive?.__bool__().value);
    if (attribute?.type === "StringValue" && String(attribute.value).includes(",")) {
      throw new SyntaxError("sort by more than one attribute is not supported");
    }
    return listOf(
      sorted(iterate(value), get, reverse !== undefined && expectNumber(reverse) !== 0),
    );
  }],
  [
    "string",
    plain("string", (value) => value.type === "StringValue" ? value : toValue(toText(value))),
  ],
  ["sum", (value, given) => {
    const [attribute, start] = bind("sum", { attribute: null, start: 0 }, given);
    const numbers = iterate(value).map(getter(attribute)).concat(start ?? []);
    if (numbers.some(({ type }) => type !== "IntegerValue")) {
      throw new TypeError("sum of what is no int is not supported");
    }
    return integerOf(numbers.reduce((total, { value }) => total + (value as number), 0));
  }],
  [
    "title",
    ofText("title", (text) =>
      text.split(WORD_BEGIN).map((part) => {
        const [first = ""] = part;
        return first.toUpperCase() + part.slice(first.length).toLowerCase();
      }).join("")),
  ],
  ["tojson", toJson],
  ["trim", (value, given) => {
    const [characters] = bindPlain("trim", { chars: null }, given);
    return toValue(
      strip(toText(value), "strip", characters === null ? undefined : asText(characters!)),
    );
  }],
  ["unique", (value, given) => {
    const [sensitive, attribute] = bind(
      "unique",
      { case_sensitive: false, attribute: null },
      given,
    );
    const get = getter(attribute, !sensitive?.__bool__().value), seen: Value[] = [];
    const items = iterate(value).filter((item) => {
      const key = get(item), isNew = !seen.some((other) => equals(other, key));
      if (itemsOf(key) || entriesOf(key)) throw new TypeError(`unique does not take ${kind(key)}`);
      return isNew && seen.push(key);
    });
    return iterableOf("Generator", items);
  }],
  ["upper", ofText("upper", (text) => text.toUpperCase())],
]);

const WORD_BEGIN = new RegExp(`([-${SPACE}({[<]+)`, "u");

/** Filters of Jinja2 that are not known here. */
export const OTHER_FILTERS: ReadonlySet<string> = new Set(
  ("attr batch center e escape filesizeformat forceescape format groupby pprint random slice striptags " +
    "truncate urlencode urlize wordcount wordwrap xmlattr").split(" "),
);

/**
 * What filters take of an item: itself, or an attribute through points, such as `function.name`.
 *
 * @param ignoresCase Whether texts are made small
 */
export function getter(attribute?: Value, ignoresCase = false): (item: Value) => Value {
  const isItself = attribute === undefined || attribute.type === "NullValue";
  const path = isItself ? [] : toText(attribute).split(".");
  return (item) => {
    for (const name of path) item = member(item, name);
    return ignoresCase && item.type === "StringValue"
      ? toValue((item.value as string).toLowerCase())
      : item;
  };
}

function member(item: Value, name: string): Value {
  if (item.type === "UndefinedValue") throw new TypeError(`${name} of what is undefined`);
  if (!/^-?\d+$/.test(name)) return memberOf(item, name, false);
  if (isSequence(item) && !name.startsWith("-")) {
    return itemsOf(item)![Number(name)] ?? toValue(undefined);
  }
  throw new TypeError(`an item of ${kind(item)} is not supported`);
}

function plain(name: string, run: (value: Value) => Value): Filter {
  return (value, given) => {
    bind(name, {}, given);
    return run(value);
  };
}

function ofText(name: string, run: (text: string) => string): Filter {
  return plain(name, (value) => toValue(run(toText(value))));
}

function orDefault(value: Value, given: Given): Value {
  const [other, boolean] = bind("default", { default_value: "", boolean: false }, given);
  const isMissing = value.type === "UndefinedValue" ||
    boolean?.__bool__().value && !isTrue(value);
  return isMissing ? other ?? toValue("") : value;
}

/** `bool(value)`. */
export function isTrue(value: Value): boolean {
  return value.type === "Generator" || value.type === "NamespaceValue" || value.__bool__().value;
}

function lengthOf(value: Value): Value {
  if (value.type === "StringValue") return integerOf([...value.value as string].length);
  if (value.type === "LoopValue") return entriesOf(value)!.get("length")!;
  if (value.type === "UndefinedValue") return integerOf(0);
  const size = itemsOf(value)?.length ?? entriesOf(value)?.size;
  if (size !== undefined && !/^(Generator|NamespaceValue)$/.test(value.type)) {
    return integerOf(size);
  }
  throw new TypeError(`${kind(value)} has no length`);
}

function expectNumber(value: Value): number {
  const number = numberOf(value);
  if (number === undefined) throw new TypeError(`${kind(value)} is no number`);
  return number;
}

function expectDict(value: Value): ReadonlyMap<string, Value> {
  if (value.type === "ObjectValue") return entriesOf(value)!;
  throw new TypeError(`${kind(value)} is no dict`);
}

/** Of a number, or of a text in the forms that are the same for `int` and `float`; else undefined. */
function parseNumber(value: Value): number | undefined {
  const number = numberOf(value);
  if (number !== undefined) return number;
  if (value.type === "UndefinedValue") throw new TypeError("a number of what is undefined");
  if (value.type !== "StringValue") return undefined;
  const text = strip(value.value as string, "strip");
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(text)) return Number(text);
  if (!/[\d_]|inf|nan/i.test(text) || !/^[-+\w.]*$/.test(text)) return undefined;
  if (/[a-z]/i.test(text) && !/^[-+]?(?:inf(?:inity)?|nan)$/i.test(text)) return undefined;
  throw new SyntaxError(`the number ${text} is not supported`);
}

function sorted(items: readonly Value[], get: (item: Value) => Value, isReversed = false): Value[] {
  const keyed = items.map((item) => ({ item, key: get(item) }));
  keyed.sort((a, b) => (isReversed ? -1 : 1) * order(a.key, b.key));
  return keyed.map(({ item }) => item);
}

function sortDict(value: Value, given: Given): Value {
  const signature = { case_sensitive: false, by: "key", reverse: false };
  const [sensitive, by, reverse] = bindPlain("dictsort", signature, given);
  const at = ["key", "value"].indexOf(String(by));
  if (at < 0) throw new RangeError('dictsort sorts by "key" or "value"');
  const entries = [...expectDict(value)].map(([k, v]) => tupleOf([toValue(k), v]));
  return listOf(
    sorted(entries, getter(toValue(String(at)), !sensitive), asInteger(reverse!) !== 0),
  );
}

function extreme(name: string, direction: 1 | -1): Filter {
  return (value, given) => {
    const [sensitive, attribute] = bind(name, { case_sensitive: false, attribute: null }, given);
    const get = getter(attribute, !sensitive?.__bool__().value);
    const items = iterate(value);
    if (items.length === 0) return toValue(undefined);
    return items.reduce((best, item) => direction * order(get(item), get(best)) > 0 ? item : best);
  };
}
