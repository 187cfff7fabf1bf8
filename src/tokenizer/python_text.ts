/** What Python knows of characters. @module */

/** What `str.isspace` is true for, inside the brackets of a pattern. */
export const SPACE =
  "\\t-\\r\\x1c-\\x1f \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const IS_SPACE = new RegExp(`^[${SPACE}]$`, "u");

const SHORT: Record<string, string> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** `repr` of a text. */
export function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/[\\\n\r\t'\p{C}\p{Z}]/gu, (c) => {
    if (c === " ") return c;
    if (c === "'") return mark === "'" ? "\\'" : c;
    const code = c.codePointAt(0)!, hex = code.toString(16);
    if (SHORT[c] !== undefined) return SHORT[c];
    if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
    return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
  return mark + escaped + mark;
}

const ESCAPE =
  /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(\n)|([xuUN])|([\\'"abfnrtv]))/g;
const CONTROLS: Record<string, string> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** What the inside of a literal stands for. @throws {SyntaxError} If it has `\N`, or half an escape */
export function unescapeText(literal: string): string {
  return literal.replace(ESCAPE, (whole, octal, x, u, long, line, broken, short) => {
    if (broken !== undefined) {
      throw new SyntaxError(`the escape ${whole} in a text is not supported`);
    }
    if (line !== undefined) return "";
    if (short !== undefined) return CONTROLS[short] ?? short;
    return String.fromCodePoint(octal ? parseInt(octal, 8) : parseInt(x ?? u ?? long, 16));
  });
}

/**
 * `str.strip`, `lstrip` or `rstrip`.
 *
 * @param characters What is taken away; default: white space
 */
export function strip(
  text: string,
  side: "strip" | "lstrip" | "rstrip",
  characters?: string,
): string {
  const set = characters === undefined ? undefined : new Set(characters);
  const isTaken = (c: string) => set === undefined ? IS_SPACE.test(c) : set.has(c);
  const all = [...text];
  let begin = 0, end = all.length;
  while (side !== "rstrip" && begin < end && isTaken(all[begin]!)) begin++;
  while (side !== "lstrip" && end > begin && isTaken(all[end - 1]!)) end--;
  return all.slice(begin, end).join("");
}

/** `str.capitalize`. */
export function capitalize(text: string): string {
  const [first = ""] = text;
  return titleCase(first) + lowerAfter(first, text.slice(first.length));
}

/** `str.title`: letters after what has no case are capitals, the others small. */
export function title(text: string): string {
  return text.replace(/\p{Cased}+/gu, (word) => {
    const [first = ""] = word;
    return titleCase(first) + lowerAfter(first, word.slice(first.length));
  });
}

/** Small letters; what stands before them decides how a sigma ends a word. */
function lowerAfter(before: string, text: string): string {
  return (before + text).toLowerCase().slice(before.toLowerCase().length);
}

/** A capital for the begin of a word: `Dz`, not `DZ`, where one character stands for two letters. */
export function titleCase(c: string): string {
  const code = c.codePointAt(0) ?? 0;
  if (code >= 0x1c4 && code <= 0x1cc) {
    return String.fromCharCode(code <= 0x1c6 ? 0x1c5 : code <= 0x1c9 ? 0x1c8 : 0x1cb);
  }
  if (code >= 0x1f1 && code <= 0x1f3) return "\u01f2";
  if (code >= 0x10d0 && code <= 0x10ff) return c; // Georgian has capitals for whole words only
  const upper = c.toUpperCase(), [first = "", ...others] = upper;
  if (others.length === 0) return upper;
  return GREEK_IOTA.test(c) ? iotaTitle(c) : first + others.join("").toLowerCase();
}

/** Greek letters with an iota below. */
const GREEK_IOTA = /[\u1f80-\u1faf\u1fb3\u1fbc\u1fc3\u1fcc\u1ff3\u1ffc]/;

function iotaTitle(c: string): string {
  const code = c.charCodeAt(0);
  return String.fromCharCode(code >= 0x1fb0 ? code & ~0xf | 0xc : code | 8);
}
