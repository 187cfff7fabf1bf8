/** The filter `tojson` of transformers, which is Python's `json.dumps`. @module */
import { bind, type Given } from "./arguments.ts";
import { pythonFloat } from "../../formats/python_float.ts";
import { pythonString } from "../../formats/python_string.ts";
import {
  entriesOf,
  isSequence,
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

const SIGNATURE = { ensure_ascii: false, indent: null, separators: null, sort_keys: false };

/** The filter. @throws {TypeError} If JSON cannot hold the value */
export function toJson(value: Value, given: Given): Value {
  const [ascii, indent, separators, sortKeys] = bind("tojson", SIGNATURE, given);
  const isIndented = indent !== undefined && indent.type !== "NullValue";
  const blanks = isIndented && indent.type !== "StringValue" ? numberOf(indent) : undefined;
  if (isIndented && blanks === undefined && indent.type !== "StringValue") {
    throw new TypeError(`tojson cannot indent by ${kind(indent)}`);
  }
  const [item, key] = separators === undefined || separators.type === "NullValue"
    ? [isIndented ? "," : ", ", ": "]
    : (itemsOf(separators) ?? []).map(toText);
  if (item === undefined || key === undefined) throw new TypeError("separators must be two texts");
  return toValue(write(value, "\n", {
    indent: isIndented
      ? blanks === undefined ? toText(indent) : " ".repeat(Math.max(0, blanks))
      : undefined,
    separators: [item, key],
    ensureAscii: ascii?.__bool__().value ?? false,
    sortKeys: sortKeys?.__bool__().value ?? false,
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
        pythonString(k, style.ensureAscii) + colon + write(v, inner, style)
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
