/** Tests: `value is name`. @see pallets/jinja, src/jinja2/tests.py @module */
import type { Given } from "./arguments.ts";
import { operate } from "./python_operators.ts";
import { isSequence, itemsOf, kind, numberOf, toText, type Value } from "./python_values.ts";
import { STRING_METHODS } from "./string_methods.ts";

type Test = (value: Value) => boolean;

const TESTS: ReadonlyMap<string, Test> = new Map(Object.entries<Test>({
  boolean: ({ type }) => type === "BooleanValue",
  callable: ({ type }) => type === "FunctionValue" || type === "UndefinedValue", // a call is what fails
  defined: ({ type }) => type !== "UndefinedValue",
  even: (value) => remainder(value, 2) === 0,
  false: ({ type, value }) => type === "BooleanValue" && value === false,
  float: ({ type }) => type === "FloatValue",
  integer: ({ type }) => type === "IntegerValue",
  iterable: (value) => LIKE_LISTS.has(value.type) || itemsOf(value) !== undefined,
  lower: (value) => Boolean(STRING_METHODS.get("islower")![1](toText(value))),
  mapping: ({ type }) => type === "ObjectValue",
  none: ({ type }) => type === "NullValue",
  number: (value) => numberOf(value) !== undefined,
  odd: (value) => remainder(value, 2) === 1,
  sequence: (value) =>
    value.type !== "LoopValue" && LIKE_LISTS.has(value.type) || value.type === "range" ||
    isSequence(value),
  string: ({ type }) => type === "StringValue",
  true: ({ type, value }) => type === "BooleanValue" && value === true,
  undefined: ({ type }) => type === "UndefinedValue",
  upper: (value) => Boolean(STRING_METHODS.get("isupper")![1](toText(value))),
}));

const LIKE_LISTS = new Set(["StringValue", "ObjectValue", "UndefinedValue", "LoopValue"]);

/** Operators, by the names of the tests that are them. */
const OPERATORS: ReadonlyMap<string, string> = new Map([
  ...["==", "!=", ">", ">=", "<", "<=", "in"].map((operator) => [operator, operator] as const),
  ...Object.entries({ eq: "==", equalto: "==", ne: "!=", gt: ">", greaterthan: ">", ge: ">=" }),
  ...Object.entries({ lt: "<", lessthan: "<", le: "<=" }),
]);

/** Whether a value passes a test. @throws {SyntaxError} If there is no such test here */
export function passes(name: string, value: Value, { args, keywords }: Given): boolean {
  const test = TESTS.get(name), operator = OPERATORS.get(name), [other] = args;
  const isKnown = test ?? operator ?? ["divisibleby", "sameas"].includes(name);
  if (!isKnown) throw new SyntaxError(`the test ${name} is not supported`);
  if (args.length !== (test ? 0 : 1) || keywords.size > 0) {
    throw new TypeError(`the test ${name} takes ${test ? "no" : "one"} argument`);
  }
  if (test !== undefined) return test(value);
  if (operator !== undefined) return operate(operator, value, other!).value === true;
  if (name === "divisibleby") return remainder(value, numberOf(other!) ?? 0) === 0;
  const { type } = other!;
  if (type !== "NullValue" && type !== "BooleanValue") {
    throw new SyntaxError(`the test sameas of ${kind(other!)} is not supported`);
  }
  return value.type === type && value.value === other!.value;
}

function remainder(value: Value, divisor: number): number {
  const number = numberOf(value);
  if (number === undefined || divisor === 0) {
    throw new TypeError(`${kind(value)} cannot be divided by ${divisor}`);
  }
  return ((number % divisor) + divisor) % divisor;
}
