/** Functions and methods that templates call. @module */
import {
  asInteger,
  asText,
  bind,
  bindPlain,
  type Given,
  REQUIRED,
  type Signature,
} from "./arguments.ts";
import { ChatError } from "./chat_error.ts";
import {
  dictOf,
  entriesOf,
  equals,
  expectKey,
  functionOf,
  integerOf,
  isSafe,
  isSequence,
  itemsOf,
  iterableOf,
  kind,
  listOf,
  toText,
  toValue,
  tupleOf,
  type Value,
} from "./python_values.ts";
import { strftime } from "./strftime.ts";
import { OTHER_METHODS, PARTITIONS, STRING_METHODS } from "./string_methods.ts";
import { DICT_METHODS } from "./template_variables.ts";

/** A function of templates. */
export type PythonFunction = (given: Given) => Value;

/** By name: those of Jinja2, and those that transformers adds. */
export const FUNCTIONS: ReadonlyMap<string, PythonFunction> = new Map<string, PythonFunction>([
  ["raise_exception", (given) => {
    const [message] = bindPlain("raise_exception", { message: REQUIRED }, given);
    throw new ChatError(`the chat template does not take it: ${message}`);
  }],
  ["strftime_now", (given) => {
    const [format] = bindPlain("strftime_now", { format: REQUIRED }, given);
    return toValue(strftime(new Date(), asText(format!)));
  }],
  ["range", (given) => {
    const one: Signature = { _stop: REQUIRED };
    const more: Signature = { _start: REQUIRED, _stop: REQUIRED, _step: 1 };
    const numbers = bindPlain("range", given.args.length > 1 ? more : one, given).map(asInteger);
    const [start, stop, step] = numbers.length > 1 ? numbers : [0, numbers[0]!, 1];
    if (step === 0) throw new RangeError("the step of a range must not be 0");
    const length = Math.max(0, Math.ceil((stop! - start!) / step!));
    if (length > 100_000) throw new RangeError("the range is longer than 100000"); // as the sandbox has it
    return iterableOf("range", Array.from({ length }, (_, i) => integerOf(start! + i * step!)));
  }],
  ["namespace", ({ args: [fields], keywords }) => {
    if (fields !== undefined && fields.type !== "ObjectValue") {
      throw new TypeError(`namespace() of ${kind(fields)} is not supported`);
    }
    const entries = [...fields === undefined ? [] : entriesOf(fields)!, ...keywords];
    return Object.assign(dictOf(entries), { type: "NamespaceValue" });
  }],
  ["dict", ({ args: [fields], keywords }) => {
    if (fields !== undefined && fields.type !== "ObjectValue") {
      throw new TypeError(`dict() of ${kind(fields)} is not supported`);
    }
    return dictOf([...fields === undefined ? [] : entriesOf(fields)!, ...keywords]);
  }],
]);

/** Functions of Jinja2 that are not known here. */
export const OTHER_FUNCTIONS: readonly string[] = ["cycler", "joiner", "lipsum", "self", "super"];

/**
 * `value.name(...)`.
 *
 * @returns undefined if the value has no such method
 * @throws {SyntaxError} If it has one that is not known here
 */
export function callMethod(value: Value, name: string, given: Given): Value | undefined {
  switch (value.type) {
    case "StringValue":
      return callTextMethod(value, name, given);
    case "ObjectValue":
      return DICT_METHODS.has(name) ? callDictMethod(value, name, given) : undefined;
  }
  if (!isSequence(value) || name !== "index" && name !== "count") return undefined;
  const [wanted] = bind(name, { _value: REQUIRED }, given), items = itemsOf(value)!;
  if (name === "count") return integerOf(items.filter((item) => equals(item, wanted!)).length);
  const at = items.findIndex((item) => equals(item, wanted!));
  if (at < 0) throw new RangeError("index(): the value is not in the list");
  return integerOf(at);
}

function callTextMethod(value: Value, name: string, given: Given): Value | undefined {
  const text = value.value as string;
  if (isSafe(value)) {
    throw new SyntaxError(`${name}() of a text that is marked as safe is not supported`);
  }
  if (name === "join") {
    const [list] = bindPlain(name, { _iterable: REQUIRED }, given);
    const items = typeof list === "string" ? [...list] : list;
    if (!Array.isArray(items)) throw new TypeError(`join() does not take ${list}`);
    return toValue(items.map(asText).join(text));
  }
  if (name === "format") return toValue(formatText(text, given));
  const partition = PARTITIONS.get(name), method = partition ?? STRING_METHODS.get(name);
  if (method === undefined) {
    if (OTHER_METHODS.has(name)) {
      throw new SyntaxError(`the method ${name} of str is not supported`);
    }
    return undefined;
  }
  const result = toValue(method[1](text, ...bindPlain(name, method[0], given)));
  return partition === undefined ? result : tupleOf(itemsOf(result)!);
}

/** `text.format(...)` with fields `{}`, `{0}` or `{name}` alone. */
function formatText(text: string, { args, keywords }: Given): string {
  let next = 0, isCounted: boolean | undefined;
  return text.replace(/\{\{|\}\}|\{(\w*)\}|[{}]/g, (field, name?: string) => {
    if (field === "{{" || field === "}}") return field[0]!;
    const isNumber = name !== undefined && /^\d*$/.test(name);
    if (name === undefined || isNumber && isCounted === (name !== "")) {
      throw new SyntaxError(`the format ${text} is not supported`);
    }
    if (isNumber) isCounted = name === "";
    const value = isNumber ? args[name === "" ? next++ : Number(name)] : keywords.get(name);
    if (value === undefined) throw new RangeError(`format() has nothing for ${field}`);
    return toText(value);
  });
}

function callDictMethod(dict: Value, name: string, given: Given): Value {
  const entries = entriesOf(dict)!;
  if (name === "get") {
    const [key, other] = bind(name, { _key: REQUIRED, _default: null }, given);
    return entries.get(expectKey(key!) ?? NaN) ?? other!;
  }
  bind(name, {}, given);
  switch (name) {
    case "copy":
      return dictOf(entries);
    case "keys":
      return iterableOf("dict_keys", [...entries.keys()].map(toValue));
    case "values":
      return iterableOf("dict_values", [...entries.values()]);
    case "items":
      return iterableOf("dict_items", [...entries].map(([k, v]) => tupleOf([toValue(k), v])));
  }
  throw new SyntaxError(`the method ${name} of dict is not allowed in templates`);
}

/** The variable `loop` at item i. */
export function loopAt(items: readonly Value[], i: number, last: { changed?: Value }): Value {
  const { length } = items;
  const loop = toValue({
    index: i + 1,
    index0: i,
    revindex: length - i,
    revindex0: length - i - 1,
    first: i === 0,
    last: i === length - 1,
    length,
    depth: 1,
    depth0: 0,
  });
  const fields = loop.value as Map<string, Value>;
  fields.set("previtem", items[i - 1] ?? toValue(undefined));
  fields.set("nextitem", items[i + 1] ?? toValue(undefined));
  fields.set(
    "cycle",
    functionOf((values) => {
      if (values.length === 0) throw new TypeError("no items for cycling given");
      return values[i % values.length]!;
    }),
  );
  fields.set(
    "changed",
    functionOf((values) => {
      const now = listOf(values), isSame = last.changed !== undefined && equals(last.changed, now);
      last.changed = now;
      return toValue(!isSame);
    }),
  );
  return Object.assign(loop, { type: "LoopValue" });
}
