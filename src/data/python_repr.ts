/**
 * JSON values as Python writes them: in source code (`repr`), in a call, and by `json.dumps`. Api
 * samples show their calls and results in these forms, character for character as in Python 3.
 * @module
 */
import { type ExactJson, JsonNumber } from "../formats/json_exact.ts";
import { pythonFloat } from "../formats/python_float.ts";
import { pythonString } from "../formats/python_string.ts";

/** `repr(value)`: `True`, `None`, `'it'`, `[1, 2.5]`, `{'a': 1e-05}`. */
export function pythonRepr(value: ExactJson): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return reprString(value);
  if (value instanceof JsonNumber) return reprNumber(value);
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(", ")}]`;
  const entries = [...value].map(([key, entry]) => `${reprString(key)}: ${pythonRepr(entry)}`);
  return `{${entries.join(", ")}}`;
}

/**
 * Source code of a call with keyword arguments, such as `search(query='rain', limit=3)`. An
 * infinite argument is `1e309`, as Python's unparser writes it; a nested one stays `inf`.
 */
export function pythonCall(name: string, keywords: Map<string, ExactJson>): string {
  const parts = [...keywords].map(([key, value]) => {
    const text = pythonRepr(value);
    return `${key}=${value instanceof JsonNumber ? text.replace("inf", "1e309") : text}`;
  });
  return `${name.replace(SPACE_AT_START, "")}(${parts.join(", ")})`;
}

/** `json.dumps(value, indent=2, ensure_ascii=False)`. */
export function pythonJson(value: ExactJson, indent = ""): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return pythonString(value, false);
  if (value instanceof JsonNumber) return jsonNumber(value);
  const inner = indent + "  ";
  const block = (open: string, lines: string[], close: string) =>
    lines.length === 0 ? open + close : `${open}\n${lines.join(",\n")}\n${indent}${close}`;
  if (Array.isArray(value)) {
    return block("[", value.map((entry) => inner + pythonJson(entry, inner)), "]");
  }
  const lines = [...value].map(([key, entry]) =>
    `${inner}${pythonString(key, false)}: ${pythonJson(entry, inner)}`
  );
  return block("{", lines, "}");
}

/** Whether Python's `text.strip()` is empty. */
export function isBlank(text: string): boolean {
  return text.replace(SPACE_AT_START, "") === "";
}

// deno-lint-ignore no-control-regex
const SPACE_AT_START = /^[\p{White_Space}\x1c-\x1f]+/u; // what str.strip() takes for space
// what Python escapes: characters that are "other" or "separator", except the plain space
const SPECIAL = /[\\\p{C}\p{Z}]/gu;
const SHORT: Record<string, string> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function reprString(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(SPECIAL, (c) => {
    if (c === " ") return c;
    const code = c.codePointAt(0)!;
    return SHORT[c] ??
      (code < 0x100
        ? "\\x" + hex(code, 2)
        : code < 0x10000
        ? "\\u" + hex(code, 4)
        : "\\U" + hex(code, 8));
  });
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

const hex = (code: number, digits: number) => code.toString(16).padStart(digits, "0");

function reprNumber(number: JsonNumber): string {
  if (number.isInteger) return BigInt(number.source).toString();
  const value = Number(number.source);
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return pythonFloat(value);
}

function jsonNumber(number: JsonNumber): string {
  const text = reprNumber(number);
  if (text === "nan") return "NaN";
  return text.replace("inf", "Infinity");
}
