/** Regular expressions of tokenizer.json files as JavaScript ones. @module */
import type { RegexNode } from "./regex_node.ts";
import { literal, parseRegex } from "./regex_syntax.ts";

/**
 * Compiles a pattern in Oniguruma's syntax, with the flags `gv`.
 *
 * @throws {SyntaxError} If it is broken, or uses what has no equal in JavaScript
 */
export function compileRegex(pattern: string): RegExp {
  return toRegExp(parseRegex(pattern), pattern);
}

/**
 * Makes a JavaScript expression of a parsed one, with the flags `gv`.
 *
 * @param pattern Its source, for errors
 * @throws {SyntaxError} If JavaScript does not take it
 */
export function toRegExp(node: RegexNode, pattern: string): RegExp {
  try {
    return new RegExp(new Writer().write(node), "gv");
  } catch (cause) {
    throw new SyntaxError(`Cannot use the regular expression ${pattern}`, { cause });
  }
}

/** Matches the text literally. */
export function escapeRegex(text: string): string {
  return [...text].map((c) => literal(c.codePointAt(0)!)).join("");
}

class Writer {
  #atomics = 0;

  write(node: RegexNode): string {
    switch (node.kind) {
      case "set":
        return node.source;
      case "sequence":
        return node.items.map((item) => this.#part(item)).join("");
      case "alternatives":
        return node.items.map((item) => this.write(item)).join("|");
      case "repeat":
        return this.#part(node.item) + quantifier(node.min, node.max) + (node.lazy ? "?" : "");
      case "atomic": { // what a lookahead has matched is never given back
        const name = `atomic${this.#atomics++}`;
        return `(?:(?=(?<${name}>${this.write(node.item)}))\\k<${name}>)`;
      }
      case "look":
        return `(?${node.behind ? "<" : ""}${node.negated ? "!" : "="}${this.write(node.item)})`;
      case "case":
        return `(?${node.ignored ? "" : "-"}i:${this.write(node.item)})`;
    }
  }

  /** So that what comes before or after it means all of it. */
  #part(node: RegexNode): string {
    const whole = node.kind === "set" || node.kind === "atomic" || node.kind === "case" ||
      node.kind === "look";
    return whole ? this.write(node) : `(?:${this.write(node)})`;
  }
}

function quantifier(min: number, max: number): string {
  if (max === Infinity) return min === 0 ? "*" : min === 1 ? "+" : `{${min},}`;
  return min === 0 && max === 1 ? "?" : `{${min},${max}}`;
}
