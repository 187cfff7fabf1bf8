/**
 * Reads YAML and remembers where every key and value stands.
 *
 * The parser reports each node when it opens and closes. A node that opens before its white space
 * is moved to its first character, and the pairs of a mapping are told apart by the colon behind
 * the key; keys that come from an alias or a merge have the place of what they hang on.
 *
 * @module
 */
import yaml from "js-yaml";
import { ConfigError } from "./config_error.ts";

/** A parsed document with places as "line:column", counted from 1. Paths are joined by dots. */
export interface YamlSource {
  /** What the document holds; null when it is empty. */
  readonly value: unknown;
  /** Where a key stands, or undefined. */
  keyPlace(path: string): string | undefined;
  /** Where a value stands (its key when it is empty), or undefined. */
  valuePlace(path: string): string | undefined;
}

/**
 * Parses one YAML document.
 *
 * @param text The document, with or without byte order mark
 * @param name What messages call it: "NAME:line:column"
 * @returns The value and the places
 * @throws {ConfigError} If the text is not YAML, has a key twice or holds several documents
 */
export function parseYaml(text: string, name: string): YamlSource {
  if (text.startsWith("\ufeff")) text = text.slice(1);
  const open: Node[] = [];
  let root: Node | undefined;
  const listener = (event: "open" | "close", state: ParserState) => {
    if (event === "open") {
      open.push({ start: state.position, end: 0, kind: null, result: null, children: [] });
      return;
    }
    const node = open.pop()!;
    node.end = state.position;
    node.kind = state.kind;
    node.result = state.result;
    const parent = open.at(-1);
    if (parent) parent.children.push(node);
    else root = node;
  };
  let value: unknown;
  try {
    value = yaml.load(text, { listener }) ?? null;
  } catch (error) {
    throw syntaxError(error, name);
  }
  const keys = new Map<string, number>();
  const values = new Map<string, number>();
  if (root) collect(root, "", text, keys, values);
  const place = (offset: number | undefined) =>
    offset === undefined ? undefined : lineAndColumn(text, offset);
  return {
    value,
    keyPlace: (path) => place(keys.get(path)),
    valuePlace: (path) => place(values.get(path)),
  };
}

/** Joins a path and a name with a dot; the root's path is empty. */
export function childPath(path: string, name: string | number): string {
  return path === "" ? String(name) : `${path}.${name}`;
}

/** What the parser shows of itself to a listener. */
interface ParserState {
  position: number;
  kind: "scalar" | "sequence" | "mapping" | null;
  result: unknown;
}

interface Node {
  start: number;
  end: number;
  kind: ParserState["kind"];
  result: unknown;
  children: Node[];
}

function collect(
  node: Node,
  path: string,
  text: string,
  keys: Map<string, number>,
  values: Map<string, number>,
): void {
  // A flow collection or scalar in block position is first tried as the key of a mapping, which
  // leaves it as the only child of itself.
  while (node.children.length === 1 && node.children[0]!.result === node.result) {
    node = node.children[0]!;
  }
  values.set(path, skipBlank(text, node.start));
  if (node.kind === "sequence" && Array.isArray(node.result)) {
    const items = node.children;
    if (items.length !== node.result.length) return;
    items.forEach((item, i) => collect(item, childPath(path, i), text, keys, values));
  } else if (node.kind === "mapping") {
    for (let i = 0; i < node.children.length; i++) {
      const key = node.children[i]!;
      if (key.kind === null) continue;
      const child = childPath(path, String(key.result));
      const at = skipBlank(text, key.start);
      keys.set(child, at);
      values.set(child, at);
      if (text[skipBlank(text, key.end)] !== ":") continue;
      const value = node.children[++i];
      // An alias has no kind, but it has text.
      if (value && (value.kind !== null || skipBlank(text, value.start) < value.end)) {
        collect(value, child, text, keys, values);
      }
    }
  }
}

/** The first offset from `at` that is neither white space nor part of a comment. */
function skipBlank(text: string, at: number): number {
  for (; at < text.length; at++) {
    const c = text[at]!;
    if (c === "#" && (at === 0 || /\s/.test(text[at - 1]!))) {
      const end = text.indexOf("\n", at);
      if (end < 0) return text.length;
      at = end;
    } else if (!/\s/.test(c)) break;
  }
  return at;
}

function lineAndColumn(text: string, offset: number): string {
  let line = 1;
  let begin = 0;
  for (let i = text.indexOf("\n"); i >= 0 && i < offset; i = text.indexOf("\n", i + 1)) {
    line++;
    begin = i + 1;
  }
  return `${line}:${offset - begin + 1}`;
}

function syntaxError(error: unknown, name: string): ConfigError {
  const { reason, mark, message } = error as {
    reason?: string;
    mark?: { line: number; column: number };
    message?: string;
  };
  const place = mark ? `${name}:${mark.line + 1}:${mark.column + 1}` : name;
  return new ConfigError(`Cannot parse YAML: ${reason ?? message ?? error} (${place})`, {
    cause: error,
  });
}
