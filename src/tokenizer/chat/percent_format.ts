/** `text % values`. @module */
import { itemsOf, kind, numberOf, toRepr, toText, type Value } from "./python_values.ts";

const DIRECTIVE = /%(?:%|([-+ 0]*)(\d*)(?:\.(\d+))?([a-zA-Z])|[^])|%$/g;

/**
 * Fills in `%s`, `%r`, `%d`, `%x`, `%X` and `%f` with flags, width and precision.
 *
 * @throws {TypeError} If there are too few values, too many, or of another type
 * @throws {SyntaxError} If it asks for more than that
 */
export function percentFormat(text: string, values: Value): string {
  const given = values.type === "TupleValue" ? [...itemsOf(values)!] : [values];
  const filled = text.replace(
    DIRECTIVE,
    (whole, flags: string, width: string, precision: string | undefined, type: string) => {
      if (whole === "%%") return "%";
      if (type === undefined) throw new SyntaxError(`the format ${whole} is not supported`);
      const value = given.shift();
      if (value === undefined) throw new TypeError("not enough arguments for format string");
      const [sign, digits] = directive(value, type, flags, precision);
      const missing = Math.max(0, Number(width) - [...sign + digits].length);
      if (flags.includes("-")) return sign + digits + " ".repeat(missing);
      const isPadded = flags.includes("0") && !"sr".includes(type);
      return isPadded ? sign + "0".repeat(missing) + digits : " ".repeat(missing) + sign + digits;
    },
  );
  const mayBeLeft = ["ArrayValue", "ObjectValue", "UndefinedValue"].includes(values.type);
  if (given.length > 0 && !mayBeLeft) throw new TypeError("not all arguments converted");
  return filled;
}

function directive(
  value: Value,
  type: string,
  flags: string,
  precision: string | undefined,
): [sign: string, digits: string] {
  if (type === "s" || type === "r") {
    const text = type === "s" ? toText(value) : toRepr(value);
    return ["", precision === undefined ? text : [...text].slice(0, Number(precision)).join("")];
  }
  const number = numberOf(value), isFloat = value.type === "FloatValue";
  if (number === undefined) throw new TypeError(`%${type} needs a number, not ${kind(value)}`);
  const magnitude = Math.abs(number),
    plus = flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  const sign = number < 0 || isFloat && Object.is(number, -0) && type === "f" ? "-" : plus;
  if (type === "f" && magnitude < 1e21) return [sign, fixed(magnitude, Number(precision ?? 6))];
  const isExact = Number.isSafeInteger(Math.trunc(magnitude)) && precision === undefined;
  if (isExact && "diu".includes(type)) {
    return [number <= -1 ? "-" : plus, String(Math.trunc(magnitude))];
  }
  if (isExact && "xX".includes(type) && !isFloat) {
    const digits = magnitude.toString(16);
    return [sign, type === "X" ? digits.toUpperCase() : digits];
  }
  throw new SyntaxError(`the format %${type} of ${kind(value)} is not supported`);
}

/** Digits of a float, exactly; halves are rounded to even, of which `toFixed` knows nothing. */
export function fixed(magnitude: number, digits: number): string {
  const up = magnitude.toFixed(digits);
  if (digits > 20) throw new RangeError("more than 20 digits are not supported");
  const exact = magnitude.toFixed(100).replace(/0+$/, "");
  const isHalf = exact.length === exact.indexOf(".") + digits + 2 && exact.endsWith("5");
  if (!isHalf || /[02468]$/.test(up)) return up;
  return magnitude >= 1 || digits > 0 ? exact.slice(0, digits === 0 ? -2 : -1) : "0";
}
