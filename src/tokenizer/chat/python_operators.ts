/** Operators, indices and slices of Python. @module */
import { percentFormat } from "./percent_format.ts";
import {
  entriesOf,
  equals,
  escapeHtml,
  expectKey,
  floatOf,
  integerOf,
  isSafe,
  isSequence,
  isTrue,
  itemsOf,
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

/**
 * `left operator right`, but for `and` and `or`.
 *
 * @throws {Error} If Python has none for values of these types
 */
export function operate(operator: string, left: Value, right: Value): Value {
  switch (operator) {
    case "==":
      return toValue(equals(left, right));
    case "!=":
      return toValue(!equals(left, right));
    case "in":
      return toValue(contains(right, left));
    case "not in":
      return toValue(!contains(right, left));
    case "<":
      return toValue(order(left, right) < 0);
    case "<=":
      return toValue(order(left, right) <= 0);
    case ">":
      return toValue(order(left, right) > 0);
    case ">=":
      return toValue(order(left, right) >= 0);
    case "~":
      return toValue(toText(left) + toText(right));
  }
  const a = numberOf(left), b = numberOf(right);
  if (a !== undefined && b !== undefined) {
    const isFloat = left.type === "FloatValue" || right.type === "FloatValue";
    return calculate(operator, a, b, isFloat);
  }
  if (isSafe(left) || isSafe(right)) {
    if (operator === "+" && left.type === right.type) {
      return markSafe(toValue(toText(escapeHtml(left)) + toText(escapeHtml(right))));
    }
    throw new TypeError(`${operator} of a text that is marked as safe is not supported`);
  }
  if (operator === "+" && left.type === right.type) {
    if (left.type === "StringValue") return toValue(String(left.value) + String(right.value));
    if (left.type === "ArrayValue") return listOf([...itemsOf(left)!, ...itemsOf(right)!]);
    if (left.type === "TupleValue") return tupleOf([...itemsOf(left)!, ...itemsOf(right)!]);
  }
  if (operator === "%" && left.type === "StringValue") {
    return toValue(percentFormat(left.value as string, right));
  }
  if (operator === "*") {
    const repeated = repeat(left, right) ?? repeat(right, left);
    if (repeated !== undefined) return repeated;
  }
  throw new TypeError(`there is no ${operator} of ${kind(left)} and ${kind(right)}`);
}

function repeat(sequence: Value, times: Value): Value | undefined {
  if (!/^(Integer|Boolean)Value$/.test(times.type)) return undefined;
  const count = Math.max(0, Number(times.value)), { value } = sequence;
  if (count > 1e6) throw new RangeError("more than a million repetitions are not supported");
  if (sequence.type === "StringValue") return toValue((value as string).repeat(count));
  if (!isSequence(sequence)) return undefined;
  const items = Array.from({ length: count }, () => itemsOf(sequence)!).flat();
  return sequence.type === "ArrayValue" ? listOf(items) : tupleOf(items);
}

function calculate(operator: string, a: number, b: number, isFloat: boolean): Value {
  const result = (value: number) => isFloat ? floatOf(value) : integerOf(value);
  switch (operator) {
    case "+":
      return result(a + b);
    case "-":
      return result(a - b);
    case "*":
      return result(a * b);
    case "**":
      if (isFloat || a < 0 || b < 0) throw new RangeError("this power is not supported");
      return integerOf(a ** b);
  }
  if (b === 0) throw new RangeError("division by zero");
  if (operator === "/") return floatOf(a / b);
  if (isFloat && (!Number.isFinite(a) || !Number.isFinite(b))) {
    throw new RangeError(`${operator} of what is not finite is not supported`);
  }
  let rest = a % b;
  if (rest !== 0 && rest < 0 !== b < 0) rest += b;
  if (operator === "%") return result(rest === 0 && b < 0 ? -0 : rest === 0 ? 0 : rest);
  if (operator === "//") return result(isFloat ? floor(a, b, rest) : Math.round((a - rest) / b));
  throw new SyntaxError(`the operator ${operator} is not supported`);
}

function floor(a: number, b: number, rest: number): number {
  const quotient = (a - rest) / b;
  if (quotient === 0) return a / b < 0 ? -0 : 0;
  const whole = Math.floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

/** `-value`, `+value` or `not value`. */
export function operateOnOne(operator: string, value: Value): Value {
  if (operator === "not") return toValue(!isTrue(value));
  const number = numberOf(value);
  if (number === undefined) throw new TypeError(`there is no ${operator} of ${kind(value)}`);
  const signed = operator === "-" ? -number : number;
  return value.type === "FloatValue" ? floatOf(signed) : integerOf(signed);
}

/** What stands at an index; undefined if nothing does. */
export function itemAt(value: Value, index: number): Value | undefined {
  const items = value.type === "StringValue"
    ? [...value.value as string].map((c) => partOf(value, c))
    : isSequence(value)
    ? itemsOf(value)!
    : [];
  return items.at(index);
}

/** `value[start:stop:step]`. */
export function sliceOf(value: Value, bounds: readonly (number | undefined)[]): Value {
  const isText = value.type === "StringValue";
  if (!isText && !isSequence(value)) throw new TypeError(`there is no slice of ${kind(value)}`);
  const items = isText ? [...value.value as string].map(toValue) : itemsOf(value)!;
  const taken = indices(items.length, bounds).map((i) => items[i]!);
  if (isText) return partOf(value, taken.map(toText).join(""));
  return value.type === "TupleValue" ? tupleOf(taken) : listOf(taken);
}

/** A part of a text that is marked as safe is marked, too. */
function partOf(whole: Value, part: string): Value {
  return isSafe(whole) ? markSafe(toValue(part)) : toValue(part);
}

/** As `slice.indices` of Python. */
function indices(
  length: number,
  [start, stop, step = 1]: readonly (number | undefined)[],
): number[] {
  if (step === 0) throw new RangeError("slice step cannot be zero");
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const clamp = (i: number) => Math.min(high, Math.max(low, i < 0 ? i + length : i));
  const from = start === undefined ? (step > 0 ? low : high) : clamp(start);
  const to = stop === undefined ? (step > 0 ? high : low) : clamp(stop);
  const taken: number[] = [];
  for (let i = from; step > 0 ? i < to : i > to; i += step) taken.push(i);
  return taken;
}

/** `item in container`. */
function contains(container: Value, item: Value): boolean {
  if (container.type === "StringValue") {
    if (item.type !== "StringValue") throw new TypeError(`a text cannot contain ${kind(item)}`);
    return (container.value as string).includes(item.value as string);
  }
  if (container.type === "ObjectValue" || container.type === "dict_keys") {
    const key = expectKey(item);
    if (container.type === "ObjectValue") {
      return key !== undefined && entriesOf(container)!.has(key);
    }
  }
  return iterate(container).some((other) => equals(other, item));
}
