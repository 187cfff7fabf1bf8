/** The filter `tojson` of transformers, which is Python's `json.dumps`. @module */
import type { Signature } from "./arguments.ts";
import { pythonFloat } from "../../formats/python_float.ts";
import { pythonString } from "../../formats/python_string.ts";
import {
  entriesOf,
  isSequence,
  isTrue,
  itemsOf,
  kind,
  numberOf,
  order,
  toRepr,
  toText,
  toValue,
  type Value,
} from "./python_values.ts";

interface Style {
  /** Blanks of one level; undefined for one line. */
  indent: string | undefined;
  /** Between items, and after keys. */
  separators: readonly [item: string, key: string];
  ensureAscii: boolean;
  sortKeys: boolean;
}

/** What the filter takes. */
export const TOJSON: Signature = {
  ensure_ascii: false,
  indent: null,
  separators: null,
  sort_keys: false,
};

/** The filter. @throws {TypeError} If JSON cannot hold the value */
export function toJson(value: Value, ...args: Value[]): Value {
  const [ascii, indent, separators, sortKeys] = args as [Value, Value, Value, Value];
  const isText = indent.type === "StringValue", isIndented = indent.type !== "NullValue";
  const blanks = isIndented && !isText ? numberOf(indent) : 0;
  if (blanks === undefined) throw new TypeError(`tojson cannot indent by ${kind(indent)}`);
  const [item, key] = separators.type === "NullValue"
    ? [isIndented ? "," : ", ", ": "]
    : (itemsOf(separators) ?? []).map(toText);
  if (item === undefined || key === undefined) throw new TypeError("separators must be two texts");
  return toValue(write(value, "\n", {
    indent: isText ? toText(indent) : isIndented ? " ".repeat(Math.max(0, blanks)) : undefined,
    separators: [item, key],
    ensureAscii: isTrue(ascii),
    sortKeys: isTrue(sortKeys),
  }));
}

function write(value: Value, newline: string, style: Style): string {
  const { indent, separators: [comma, colon] } = style, inner = newline + (indent ?? "");
  const wrap = (open: string, close: string, parts: string[]) => {
    if (parts.length === 0 || indent === undefined) return open + parts.join(comma) + close;
    return open + inner + parts.join(comma + inner) + newline + close;
  };
  if (isSequence(value)) {
    return wrap("[", "]", itemsOf(value)!.map((item) => write(item, inner, style)));
  }
  switch (value.type) {
    case "ObjectValue": {
      const entries = [...entriesOf(value)!];
      if (style.sortKeys) entries.sort(([a], [b]) => order(toValue(a), toValue(b)));
      const pairs = entries.map(([k, v]) =>
        pythonString(String(k), style.ensureAscii) + colon + write(v, inner, style)
      );
      return wrap("{", "}", pairs);
    }
    case "StringValue":
      return pythonString(value.value as string, style.ensureAscii);
    case "NullValue":
      return "null";
    case "BooleanValue":
      return String(value.value);
    case "IntegerValue":
      return toRepr(value);
    case "FloatValue": {
      const number = value.value as number;
      return Number.isFinite(number) ? pythonFloat(number) : String(number);
    }
  }
  throw new TypeError(`${kind(value)} is not JSON serializable`);
}
