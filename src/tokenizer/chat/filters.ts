/** Filters. @see pallets/jinja, src/jinja2/filters.py @module */
import { REQUIRED, type Signature } from "./arguments.ts";
import { fixed } from "./percent_format.ts";
import { TOJSON, toJson } from "./python_json.ts";
import { capitalize, SPACE, strip } from "../python_text.ts";
import {
  entriesOf,
  equals,
  escapeHtml,
  floatOf,
  integerOf,
  isSequence,
  isTrue,
  itemsOf,
  iterableOf,
  iterate,
  type Key,
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
import { replace, splitLines } from "./string_methods.ts";
import { memberOf } from "./template_variables.ts";

/** A filter: what it takes, and what it gives for a value and all of its arguments. */
export type Filter = [signature: Signature, run: (value: Value, ...args: Value[]) => Value];

const ESCAPE: Filter = [{}, escapeHtml];
const BY_ATTRIBUTE: Signature = { case_sensitive: false, attribute: null };
const DEFAULT: Filter = [{ default_value: "", boolean: false }, (value, other, boolean) => {
  const isMissing = value.type === "UndefinedValue" || isTrue(boolean!) && !isTrue(value);
  return isMissing ? other! : value;
}];

/** By name; those that call others are with the expressions. */
export const FILTERS: ReadonlyMap<string, Filter> = new Map(Object.entries<Filter>({
  abs: [{}, (value) => {
    const number = Math.abs(expectNumber(value));
    return value.type === "FloatValue" ? floatOf(number) : integerOf(number);
  }],
  capitalize: ofText(capitalize),
  count: [{}, lengthOf],
  d: DEFAULT,
  default: DEFAULT,
  dictsort: [{ case_sensitive: false, by: "key", reverse: false }, sortDict],
  e: ESCAPE,
  escape: ESCAPE,
  first: [{}, (value) => iterate(value)[0] ?? toValue(undefined)],
  float: [{ default: floatOf(0) }, (value, other) => {
    const number = parseNumber(value);
    return number === undefined ? other! : floatOf(number);
  }],
  indent: [{ width: 4, first: false, blank: false }, (value, width, first, blank) => {
    const isText = width!.type === "StringValue";
    const indention = isText ? toText(width!) : " ".repeat(expectInteger(width!));
    if (value.type !== "StringValue") throw new TypeError(`indent does not take ${kind(value)}`);
    const [head, ...others] = splitLines(`${value.value}\n`, false);
    const lines = others.map((line) => line !== "" || isTrue(blank!) ? indention + line : line);
    return toValue((isTrue(first!) ? indention : "") + [head, ...lines].join("\n"));
  }],
  int: [{ default: 0 }, (value, other) => {
    const number = parseNumber(value);
    return number === undefined ? other! : integerOf(Math.trunc(number));
  }],
  items: [{}, (value) => {
    const entries = value.type === "UndefinedValue" ? [] : expectDict(value);
    return iterableOf("Generator", [...entries].map(([k, v]) => tupleOf([toValue(k), v])));
  }],
  join: [{ d: "", attribute: null }, (value, separator, attribute) => {
    const get = getter(attribute!);
    return toValue(iterate(value).map((item) => toText(get(item))).join(toText(separator!)));
  }],
  last: [{}, (value) => {
    if (value.type === "Generator") throw new TypeError("last does not take a generator");
    return iterate(value).at(-1) ?? toValue(undefined);
  }],
  length: [{}, lengthOf],
  list: [{}, (value) => listOf([...iterate(value)])],
  lower: ofText((text) => text.toLowerCase()),
  max: extreme(1),
  min: extreme(-1),
  replace: [{ old: REQUIRED, new: REQUIRED, count: null }, (value, old, by, count) => {
    const times = count!.type === "NullValue" ? -1 : expectNumber(count!);
    return toValue(replace(toText(value), toText(old!), toText(by!), times));
  }],
  reverse: [{}, (value) => {
    const items = [...iterate(value)].reverse();
    if (value.type === "StringValue") return toValue(items.map(toText).join(""));
    return value.type === "Generator" ? listOf(items) : iterableOf("Generator", items);
  }],
  round: [{ precision: 0 }, (value, precision) => {
    const number = expectNumber(value), places = expectInteger(precision!);
    if (places < 0 || !(Math.abs(number) < 1e21)) throw new RangeError("round: not supported");
    if (value.type !== "FloatValue") return integerOf(number);
    const rounded = Number(fixed(Math.abs(number), places));
    return floatOf(number < 0 || Object.is(number, -0) ? -rounded : rounded);
  }],
  safe: [{}, markSafe],
  sort: [{ reverse: false, ...BY_ATTRIBUTE }, (value, reverse, sensitive, attribute) => {
    if (toText(attribute!).includes(",")) {
      throw new SyntaxError("sort by more than one attribute is not supported");
    }
    const get = getter(attribute!, !isTrue(sensitive!));
    return listOf(sorted(iterate(value), get, expectNumber(reverse!) !== 0));
  }],
  string: [{}, (value) => value.type === "StringValue" ? value : toValue(toText(value))],
  sum: [{ attribute: null, start: 0 }, (value, attribute, start) => {
    const numbers = iterate(value).map(getter(attribute!)).concat(start!);
    if (numbers.some(({ type }) => type !== "IntegerValue")) {
      throw new TypeError("sum of what is no int is not supported");
    }
    return integerOf(numbers.reduce((total, { value }) => total + (value as number), 0));
  }],
  title: ofText((text) =>
    text.split(WORD_BEGIN).map((part) => {
      const [first = ""] = part;
      return first.toUpperCase() + part.slice(first.length).toLowerCase();
    }).join("")
  ),
  tojson: [TOJSON, toJson],
  trim: [{ chars: null }, (value, characters) => {
    const { type } = characters!;
    if (type !== "NullValue" && type !== "StringValue") throw new TypeError("trim needs a text");
    const set = type === "NullValue" ? undefined : toText(characters!);
    return toValue(strip(toText(value), "strip", set));
  }],
  unique: [BY_ATTRIBUTE, (value, sensitive, attribute) => {
    const get = getter(attribute!, !isTrue(sensitive!)), seen: Value[] = [];
    const items = iterate(value).filter((item) => {
      const key = get(item), isNew = !seen.some((other) => equals(other, key));
      if (itemsOf(key) || entriesOf(key)) throw new TypeError(`unique does not take ${kind(key)}`);
      return isNew && seen.push(key);
    });
    return iterableOf("Generator", items);
  }],
  upper: ofText((text) => text.toUpperCase()),
}));

const WORD_BEGIN = new RegExp(`([-${SPACE}({[<]+)`, "u");

/** Filters of Jinja2 that are not known here. */
export const OTHER_FILTERS: ReadonlySet<string> = new Set(
  ("attr batch center filesizeformat forceescape groupby pprint random slice striptags " +
    "truncate urlencode urlize wordcount wordwrap xmlattr").split(" "),
);

/**
 * What filters take of an item: itself, or an attribute through points, such as `function.name`.
 *
 * @param ignoresCase Whether texts are made small
 */
export function getter(attribute: Value, ignoresCase = false): (item: Value) => Value {
  const path = attribute.type === "NullValue" ? [] : toText(attribute).split(".");
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

function ofText(run: (text: string) => string): Filter {
  return [{}, (value) => toValue(run(toText(value)))];
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

function expectInteger(value: Value): number {
  if (/^(Integer|Boolean)Value$/.test(value.type)) return Number(value.value);
  throw new TypeError(`${kind(value)} is no integer`);
}

function expectDict(value: Value): ReadonlyMap<Key, Value> {
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

function sortDict(value: Value, sensitive?: Value, by?: Value, reverse?: Value): Value {
  const at = ["key", "value"].indexOf(toText(by!));
  if (at < 0) throw new RangeError('dictsort sorts by "key" or "value"');
  const entries = [...expectDict(value)].map(([k, v]) => tupleOf([toValue(k), v]));
  const get = getter(toValue(String(at)), !isTrue(sensitive!));
  return listOf(sorted(entries, get, expectInteger(reverse!) !== 0));
}

function extreme(direction: 1 | -1): Filter {
  return [BY_ATTRIBUTE, (value, sensitive, attribute) => {
    const get = getter(attribute!, !isTrue(sensitive!)), items = iterate(value);
    if (items.length === 0) return toValue(undefined);
    return items.reduce((best, item) => direction * order(get(item), get(best)) > 0 ? item : best);
  }];
}
