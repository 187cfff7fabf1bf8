/** Texts in JSON as Python writes them. @module */

const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

/**
 * A text as `json.dumps` writes it.
 *
 * @param ensureAscii Whether what is not ASCII is escaped, as is its default
 */
export function pythonString(text: string, ensureAscii: boolean): string {
  // deno-lint-ignore no-control-regex
  const escaped = text.replace(/["\\\x00-\x1f]/g, (c) => SHORT[c] ?? unicodeEscape(c));
  return `"${ensureAscii ? escaped.replace(/[^ -~]/g, unicodeEscape) : escaped}"`;
}

function unicodeEscape(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
