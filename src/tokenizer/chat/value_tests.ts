/** Tests: `value is name`. @see pallets/jinja, src/jinja2/tests.py @module */
import type { Given } from "./arguments.ts";
import {
  entriesOf,
  equals,
  isSequence,
  itemsOf,
  iterate,
  kind,
  numberOf,
  order,
  toText,
  type Value,
} from "./python_values.ts";
import { STRING_METHODS } from "./string_methods.ts";

const WITH_ARGUMENT = new Set(
  ("== eq equalto != ne in > gt greaterthan >= ge < lt lessthan <= le divisibleby sameas").split(
    " ",
  ),
);

/** Whether a value passes a test. @throws {SyntaxError} If there is no such test here */
export function passes(name: string, value: Value, { args, keywords }: Given): boolean {
  const number = numberOf(value);
  const takes = WITH_ARGUMENT.has(name) ? 1 : 0;
  if (args.length !== takes || keywords.size > 0) {
    throw new TypeError(`the test ${name} takes ${takes} arguments`);
  }
  const other = args[0]!;
  const isText = value.type === "StringValue", isDict = value.type === "ObjectValue";
  const caseTest = (method: string) => Boolean(STRING_METHODS.get(method)![1](toText(value)));
  const remainder = (divisor: number) => {
    if (number === undefined) throw new TypeError(`the test ${name} needs a number`);
    return ((number % divisor) + divisor) % divisor;
  };
  switch (name) {
    case "callable":
      return value.type === "FunctionValue" || value.type === "UndefinedValue"; // calling it is what fails
    case "boolean":
      return value.type === "BooleanValue";
    case "defined":
      return value.type !== "UndefinedValue";
    case "undefined":
      return value.type === "UndefinedValue";
    case "none":
      return value.type === "NullValue";
    case "true":
    case "false":
      return value.type === "BooleanValue" && value.value === (name === "true");
    case "number":
      return number !== undefined;
    case "integer":
      return value.type === "IntegerValue";
    case "float":
      return value.type === "FloatValue";
    case "string":
      return isText;
    case "mapping":
      return isDict;
    case "iterable":
      return isText || isDict || itemsOf(value) !== undefined ||
        ["UndefinedValue", "LoopValue"].includes(value.type);
    case "sequence":
      return isText || isDict || isSequence(value) ||
        ["UndefinedValue", "range"].includes(value.type);
    case "odd":
      return remainder(2) === 1;
    case "even":
      return remainder(2) === 0;
    case "divisibleby": {
      const divisor = numberOf(other);
      if (divisor) return remainder(divisor) === 0;
      throw new TypeError(`the test ${name} needs a number that is not 0`);
    }
    case "sameas":
      if (!/^(Null|Boolean)Value$/.test(other.type)) {
        throw new SyntaxError(`the test ${name} of ${kind(other)} is not supported`);
      }
      return value.type === other.type && value.value === other.value;
    case "lower":
      return caseTest("islower");
    case "upper":
      return caseTest("isupper");
    case "==":
    case "eq":
    case "equalto":
      return equals(value, other);
    case "!=":
    case "ne":
      return !equals(value, other);
    case "in":
      return contains(other, value);
    case ">":
    case "gt":
    case "greaterthan":
      return order(value, other) > 0;
    case ">=":
    case "ge":
      return order(value, other) >= 0;
    case "<":
    case "lt":
    case "lessthan":
      return order(value, other) < 0;
    case "<=":
    case "le":
      return order(value, other) <= 0;
  }
  throw new SyntaxError(`the test ${name} is not supported`);
}

/** `item in container`. */
export function contains(container: Value, item: Value): boolean {
  if (container.type === "StringValue") {
    if (item.type !== "StringValue") throw new TypeError(`a text cannot contain ${kind(item)}`);
    return (container.value as string).includes(item.value as string);
  }
  if (container.type === "ObjectValue" || container.type === "dict_keys") {
    if (itemsOf(item) || entriesOf(item)) throw new TypeError(`${kind(item)} is no key`);
  }
  if (container.type === "ObjectValue") {
    return item.type === "StringValue" && entriesOf(container)!.has(item.value as string);
  }
  return iterate(container).some((other) => equals(other, item));
}
