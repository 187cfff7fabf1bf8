/** Tests: `value is name`. @see pallets/jinja, src/jinja2/tests.py @module */
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

/** Whether a value passes a test. @throws {SyntaxError} If there is no such test here */
export function passes(name: string, value: Value, other?: Value): boolean {
  const number = numberOf(value);
  const needed = () => {
    if (other === undefined) throw new TypeError(`the test ${name} needs an argument`);
    return other;
  };
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
    case "lower":
      return caseTest("islower");
    case "upper":
      return caseTest("isupper");
    case "==":
    case "eq":
    case "equalto":
      return equals(value, needed());
    case "!=":
    case "ne":
      return !equals(value, needed());
    case "in":
      return contains(needed(), value);
    case ">":
    case "gt":
    case "greaterthan":
      return order(value, needed()) > 0;
    case ">=":
    case "ge":
      return order(value, needed()) >= 0;
    case "<":
    case "lt":
    case "lessthan":
      return order(value, needed()) < 0;
    case "<=":
    case "le":
      return order(value, needed()) <= 0;
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
