/** Methods of `str`. Positions are counted in characters, as Python counts them. @module */
import { asInteger, asText, type Plain, REQUIRED, type Signature } from "./arguments.ts";
import { capitalize, SPACE, strip, title } from "../python_text.ts";

/** A method: what it takes, and what it gives for a text; an array is a list. */
export type TextMethod = [signature: Signature, run: (text: string, ...args: Plain[]) => Plain];

type Search = "indexOf" | "lastIndexOf";

const PART: Signature = { _sub: REQUIRED, _start: null, _end: null };
const SPLIT: Signature = { sep: null, maxsplit: -1 };
const FILL: Signature = { _width: REQUIRED, _fillchar: " " };
const CHARS: Signature = { _chars: null };
const AFFIX: Signature = { _affix: REQUIRED };

/** By name. Those that give a tuple are {@linkcode PARTITIONS}. */
export const STRING_METHODS: ReadonlyMap<string, TextMethod> = new Map<string, TextMethod>([
  ["capitalize", [{}, capitalize]],
  ["center", [FILL, (text, width, fill) => {
    const missing = missingOf(text, width!);
    const left = Math.floor(missing / 2) + (missing & asInteger(width!) & 1);
    return charOf(fill!).repeat(left) + text + charOf(fill!).repeat(missing - left);
  }]],
  ["count", [PART, (text, part, start, end) => {
    const within = slice(text, start!, end!), wanted = asText(part!);
    if (within === undefined) return 0;
    return wanted === "" ? [...within].length + 1 : within.split(wanted).length - 1;
  }]],
  ["endswith", [PART, (text, part, ...range) => hasAffix("endsWith", text, part!, range)]],
  ["find", [PART, (text, part, ...range) => find(text, part!, range, "indexOf")]],
  ["index", [PART, (text, part, ...range) => found(find(text, part!, range, "indexOf"))]],
  ["isalnum", [{}, (text) => /^[\p{L}\p{N}]+$/u.test(text)]],
  ["isalpha", [{}, (text) => /^\p{L}+$/u.test(text)]],
  ["isdecimal", [{}, (text) => /^\p{Nd}+$/u.test(text)]],
  ["isdigit", [{}, isDigit]],
  ["islower", [{}, (text) => /\p{Cased}/u.test(text) && !/[\p{Lu}\p{Lt}]/u.test(text)]],
  ["isspace", [{}, (text) => new RegExp(`^[${SPACE}]+$`, "u").test(text)]],
  ["isupper", [{}, (text) => /\p{Cased}/u.test(text) && !/[\p{Lt}\p{Lowercase}]/u.test(text)]],
  ["ljust", [FILL, (text, width, fill) => text + charOf(fill!).repeat(missingOf(text, width!))]],
  ["lower", [{}, (text) => text.toLowerCase()]],
  ["lstrip", [CHARS, (text, set) => strip(text, "lstrip", optional(set!))]],
  ["removeprefix", [AFFIX, (text, affix) => {
    const prefix = asText(affix!);
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  }]],
  ["removesuffix", [AFFIX, (text, affix) => {
    const suffix = asText(affix!);
    return text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text;
  }]],
  ["replace", [
    { _old: REQUIRED, _new: REQUIRED, _count: -1 },
    (text, old, by, count) => replace(text, asText(old!), asText(by!), asInteger(count!)),
  ]],
  ["rfind", [PART, (text, part, ...range) => find(text, part!, range, "lastIndexOf")]],
  ["rindex", [PART, (text, part, ...range) => found(find(text, part!, range, "lastIndexOf"))]],
  ["rjust", [FILL, (text, width, fill) => charOf(fill!).repeat(missingOf(text, width!)) + text]],
  ["rsplit", [SPLIT, (text, sep, most) => splitFromEnd(text, optional(sep!), asInteger(most!))]],
  ["rstrip", [CHARS, (text, set) => strip(text, "rstrip", optional(set!))]],
  ["split", [SPLIT, (text, sep, most) => split(text, optional(sep!), asInteger(most!))]],
  ["splitlines", [{ keepends: false }, (text, keeps) => splitLines(text, asInteger(keeps!) !== 0)]],
  ["startswith", [PART, (text, part, ...range) => hasAffix("startsWith", text, part!, range)]],
  ["strip", [CHARS, (text, set) => strip(text, "strip", optional(set!))]],
  ["title", [{}, title]],
  ["upper", [{}, (text) => text.toUpperCase()]],
  ["zfill", [{ _width: REQUIRED }, (text, width) => {
    const sign = /^[-+]/.test(text) ? text[0]! : "";
    return sign + "0".repeat(missingOf(text, width!)) + text.slice(sign.length);
  }]],
]);

/** `partition` and `rpartition`: what is before the separator, itself, and what is behind it. */
export const PARTITIONS: ReadonlyMap<string, TextMethod> = new Map<string, TextMethod>([
  ["partition", [{ _sep: REQUIRED }, (text, sep) => partition(text, sep!, "indexOf")]],
  ["rpartition", [{ _sep: REQUIRED }, (text, sep) => partition(text, sep!, "lastIndexOf")]],
]);

/** Those that Python has beside them. */
export const OTHER_METHODS: ReadonlySet<string> = new Set(
  ("casefold encode expandtabs format_map isascii isidentifier isnumeric isprintable istitle " +
    "maketrans swapcase translate").split(" "),
);

/** Whether every text has an attribute of this name. */
export function isTextMethod(name: string): boolean {
  return STRING_METHODS.has(name) || PARTITIONS.has(name) || OTHER_METHODS.has(name) ||
    name === "join" || name === "format";
}

/** `text.replace(old, by, count)`. */
export function replace(text: string, old: string, by: string, count: number): string {
  if (count < 0) count = Infinity;
  if (old === "") {
    const all = [...text], n = Math.min(count, all.length + 1);
    return all.map((c, i) => i < n ? by + c : c).join("") + (n > all.length ? by : "");
  }
  const parts = text.split(old), n = Math.min(count, parts.length - 1);
  return parts.slice(0, n + 1).join(by) + parts.slice(n + 1).map((part) => old + part).join("");
}

/** `text.splitlines(keepends)`. */
export function splitLines(text: string, keepEnds: boolean): string[] {
  // deno-lint-ignore no-control-regex
  const lines = text.match(/[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[^]|$)/g) ?? [];
  if (lines.at(-1) === "") lines.pop();
  return keepEnds ? lines : lines.map((line) => line.replace(LINE_END, ""));
}

// deno-lint-ignore no-control-regex
const LINE_END = /(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])$/;
const BLANKS = new RegExp(`[${SPACE}]+`, "u");

function split(text: string, sep: string | undefined, most: number): string[] {
  const limit = most < 0 ? Infinity : most;
  if (sep === "") throw new RangeError("empty separator");
  const parts: string[] = [];
  let rest = sep === undefined ? strip(text, "lstrip") : text;
  if (sep === undefined && rest === "") return [];
  while (parts.length < limit) {
    const at = sep === undefined ? rest.search(BLANKS) : rest.indexOf(sep);
    if (at < 0) break;
    parts.push(rest.slice(0, at));
    rest = sep === undefined ? strip(rest.slice(at), "lstrip") : rest.slice(at + sep.length);
    if (sep === undefined && rest === "") return parts;
  }
  return [...parts, rest];
}

function splitFromEnd(text: string, sep: string | undefined, most: number): string[] {
  const reversed = (part: string) => [...part].reverse().join("");
  const parts = split(reversed(text), sep === undefined ? sep : reversed(sep), most);
  return parts.map(reversed).reverse();
}

function partition(text: string, sep: Plain, search: Search): string[] {
  const mark = asText(sep), at = text[search](mark);
  if (mark === "") throw new RangeError("empty separator");
  if (at >= 0) return [text.slice(0, at), mark, text.slice(at + mark.length)];
  return search === "indexOf" ? [text, "", ""] : ["", "", text];
}

function hasAffix(
  test: "startsWith" | "endsWith",
  text: string,
  part: Plain,
  range: Plain[],
): boolean {
  const affixes = Array.isArray(part) ? part.map(asText) : [asText(part)];
  const within = slice(text, range[0]!, range[1]!);
  return within !== undefined && affixes.some((affix) => within[test](affix));
}

/** `text[start:end]`; undefined if the start is behind the end of the text, where nothing is found. */
function slice(text: string, start: Plain, end: Plain): string | undefined {
  if (start === null && end === null) return text;
  const all = [...text], [from, to] = bounds(all.length, start, end);
  return from > to ? undefined : all.slice(from, to).join("");
}

function bounds(length: number, start: Plain, end: Plain): [number, number] {
  const at = (value: Plain, otherwise: number) => {
    const index = value === null ? otherwise : asInteger(value);
    return index < 0 ? Math.max(0, index + length) : index;
  };
  return [at(start, 0), Math.min(length, at(end, length))];
}

function find(text: string, part: Plain, [start, end]: Plain[], search: Search): number {
  const within = slice(text, start!, end!), at = within?.[search](asText(part)) ?? -1;
  if (at < 0) return -1;
  return bounds([...text].length, start!, end!)[0] + [...within!.slice(0, at)].length;
}

function found(at: number): number {
  if (at < 0) throw new RangeError("substring not found");
  return at;
}

function optional(value: Plain): string | undefined {
  return value === null ? undefined : asText(value);
}

function missingOf(text: string, width: Plain): number {
  return Math.max(0, asInteger(width) - [...text].length);
}

function charOf(value: Plain): string {
  if ([...asText(value)].length === 1) return value as string;
  throw new TypeError("the fill character must be exactly one character long");
}

/** Digits beyond the decimal ones are in a table that is not kept here. */
function isDigit(text: string): boolean {
  if (/[\p{No}\p{Lo}]/u.test(text)) {
    throw new RangeError("isdigit() of such signs is not supported");
  }
  return /^\p{Nd}+$/u.test(text);
}
