/**
 * Parses the regular expressions of tokenizer.json files, which are in Oniguruma's (Ruby) syntax. What
 * cannot be said in JavaScript's syntax exactly is an error.
 *
 * @see https://github.com/kkos/oniguruma/blob/master/doc/RE
 * @module
 */
import {
  ANY_CHARACTER,
  type ListNode,
  type LookNode,
  type RegexNode,
  type SetNode,
} from "./regex_node.ts";

/**
 * Parses a pattern.
 *
 * @throws {SyntaxError} If it is broken, or uses what has no equal in JavaScript
 */
export function parseRegex(pattern: string): RegexNode {
  return new Parser(pattern).alternatives(false);
}

const CLASS_ESCAPES: Record<string, string> = {
  s: "\\p{White_Space}",
  S: "\\P{White_Space}",
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  w: "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]",
  W: "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]",
  h: "[0-9a-fA-F]",
  H: "[^0-9a-fA-F]",
};
/** `\\w` outside of a set: Oniguruma looks characters below U+0100 up in a table of its own. */
const WORD_ALONE = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u{b2}\\u{b3}\\u{b9}\\u{bc}-\\u{be}";
const CHARACTER_ESCAPES: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7, e: 27 };
const POSIX: Record<string, string> = {
  alnum: "\\p{Alphabetic}\\p{Nd}",
  alpha: "\\p{Alphabetic}",
  blank: "\\p{Zs}\\t",
  cntrl: "\\p{Cc}",
  digit: "\\p{Nd}",
  lower: "\\p{Lowercase}",
  punct: "\\p{P}\\p{S}",
  space: "\\p{White_Space}",
  upper: "\\p{Uppercase}",
  word: "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}",
  xdigit: "0-9a-fA-F",
};
/** An expression for exactly this text. */
export function literalRegex(text: string): RegexNode {
  return list("sequence", [...text].map((c) => set(literal(c.codePointAt(0)!))));
}

const set = (source: string): SetNode => ({ kind: "set", source });
const look = (item: RegexNode, behind: boolean, negated: boolean): LookNode => ({
  kind: "look",
  item,
  behind,
  negated,
});
const list = (kind: ListNode["kind"], items: RegexNode[]): RegexNode =>
  items.length === 1 ? items[0]! : { kind, items };

const NEWLINE = set("\\n");
const AT_START = look(ANY_CHARACTER, true, true), AT_END = look(ANY_CHARACTER, false, true);
const LINE_END = list("alternatives", [look(NEWLINE, false, false), AT_END]);
const LINE_START = list("alternatives", [
  AT_START,
  list("sequence", [look(NEWLINE, true, false), look(ANY_CHARACTER, false, false)]),
]);
const LAST_LINE_END = list("alternatives", [
  look(list("sequence", [NEWLINE, AT_END]), false, false),
  AT_END,
]);

class Parser {
  readonly #pattern: string;
  #at = 0;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  /** Everything up to the end, or to the ")" of the group that it is in. */
  alternatives(inGroup: boolean): RegexNode {
    const options: RegexNode[] = [];
    let items: RegexNode[] = [];
    while (this.#at < this.#pattern.length) {
      if (this.#pattern[this.#at] === ")") {
        if (!inGroup) throw this.#broken("it has a ) without (");
        return list("alternatives", [...options, list("sequence", items)]);
      }
      if (this.#take("|")) {
        options.push(list("sequence", items));
        items = [];
        continue;
      }
      const flags = /^\(\?([imx]*)(-[imx]+)?\)/.exec(this.#rest());
      if (flags) { // to the end of the group, alternatives included
        this.#at += flags[0].length;
        const withFlags = this.#withFlags(flags[1]!, flags[2] ?? "");
        items.push(withFlags(this.alternatives(inGroup)));
        continue;
      }
      items.push(this.#quantified(this.#atom()));
    }
    if (inGroup) throw this.#broken("it has a ( without )");
    return list("alternatives", [...options, list("sequence", items)]);
  }

  #rest(): string {
    return this.#pattern.slice(this.#at);
  }

  #take(text: string): boolean {
    if (!this.#pattern.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #broken(why: string): SyntaxError {
    return new SyntaxError(`Cannot use the regular expression ${this.#pattern}: ${why}`);
  }

  #character(): string {
    const c = this.#pattern.codePointAt(this.#at);
    if (c === undefined) throw this.#broken("it ends too early");
    const text = String.fromCodePoint(c);
    this.#at += text.length;
    return text;
  }

  #atom(): RegexNode {
    if (this.#take("(")) return this.#group();
    if (this.#take("[")) return set(this.#set());
    if (this.#take(".")) return set("[^\\n]");
    if (this.#take("^")) return LINE_START;
    if (this.#take("$")) return LINE_END;
    if (this.#take("\\")) return this.#anchor() ?? set(this.#escape(false));
    return set(literal(this.#character().codePointAt(0)!));
  }

  #anchor(): RegexNode | undefined {
    if (this.#take("A")) return AT_START;
    if (this.#take("z")) return AT_END;
    return this.#take("Z") ? LAST_LINE_END : undefined;
  }

  #withFlags(on: string, off: string): (item: RegexNode) => RegexNode {
    if (/[mx]/.test(on + off)) throw this.#broken("of the flags it may only use i");
    if (on !== "i" && off !== "-i") return (item) => item;
    return (item) => ({ kind: "case", ignored: on === "i", item });
  }

  #group(): RegexNode {
    const flags = /^\?([imx]*)(-[imx]+)?:/.exec(this.#rest());
    let wrap: (item: RegexNode) => RegexNode = (item) => item; // nothing refers to what it captures
    if (flags) {
      this.#at += flags[0].length;
      wrap = this.#withFlags(flags[1]!, flags[2] ?? "");
    } else if (this.#take("?>")) wrap = (item) => ({ kind: "atomic", item });
    else if (this.#take("?=")) wrap = (item) => look(item, false, false);
    else if (this.#take("?!")) wrap = (item) => look(item, false, true);
    else if (this.#take("?<=")) wrap = (item) => look(item, true, false);
    else if (this.#take("?<!")) wrap = (item) => look(item, true, true);
    else if (this.#pattern[this.#at] === "?") {
      const name = /^\?<[A-Za-z_]\w*>/.exec(this.#rest());
      if (name === null) throw this.#broken("it has an unknown kind of group");
      this.#at += name[0].length;
    }
    const item = this.alternatives(true);
    this.#close();
    return wrap(item);
  }

  #close(): void {
    if (!this.#take(")")) throw this.#broken("it has a ( without )");
  }

  #quantified(item: RegexNode): RegexNode {
    for (;;) {
      const range = /^\{(?:(\d+)(,?)(\d*)|,(\d+))\}/.exec(this.#rest());
      let min = 0, max = Infinity;
      if (range) {
        this.#at += range[0].length;
        const [, from, comma, to, upTo] = range;
        min = Number(from ?? 0);
        max = Number(upTo ?? (comma === "" ? from : to === "" ? Infinity : to));
        if (max < min) throw this.#broken(`it has the range ${range[0]}`);
      } else if (this.#take("?")) max = 1;
      else if (this.#take("+")) min = 1;
      else if (!this.#take("*")) return item;
      const lazy = this.#take("?");
      item = { kind: "repeat", item, min, max, lazy };
      if (!range && !lazy && this.#take("+")) item = { kind: "atomic", item };
    }
  }

  #escape(inSet: boolean): string {
    const c = this.#character();
    if (c === "p" || c === "P") return this.#property(c === "P");
    if (!inSet && (c === "w" || c === "W")) return `[${c === "W" ? "^" : ""}${WORD_ALONE}]`;
    if (CLASS_ESCAPES[c] !== undefined) return CLASS_ESCAPES[c];
    if (CHARACTER_ESCAPES[c] !== undefined) return literal(CHARACTER_ESCAPES[c]);
    if (c === "x" || c === "u") {
      const digits = c === "u"
        ? /^[0-9A-Fa-f]{4}/.exec(this.#rest())
        : /^(?:\{[0-9A-Fa-f]{1,6}\}|[0-9A-Fa-f]{1,2})/.exec(this.#rest());
      if (!digits) throw this.#broken(`\\${c} is not followed by hexadecimal digits`);
      this.#at += digits[0].length;
      return literal(parseInt(digits[0].replace(/[{}]/g, ""), 16));
    }
    if (!inSet) {
      if (c === "K" || /[1-9GbBRXyYkg]/.test(c)) throw this.#broken(`it uses \\${c}`);
    }
    if (/[A-Za-z0-9]/.test(c)) throw this.#broken(`it uses \\${c}`);
    return literal(c.codePointAt(0)!);
  }

  #property(negated: boolean): string {
    const found = /^\{(\^?)([A-Za-z0-9_ -]+)\}/.exec(this.#rest());
    if (!found) throw this.#broken("\\p is not followed by {name}");
    this.#at += found[0].length;
    const not = negated !== (found[1] === "^");
    const name = found[2]!, posix = POSIX[name.toLowerCase()];
    if (posix !== undefined) return `[${not ? "^" : ""}${posix}]`;
    const p = not ? "\\P" : "\\p";
    for (const form of [name, `Script=${name}`]) {
      try {
        new RegExp(`\\p{${form}}`, "v");
        return `${p}{${form}}`;
      } catch { /* the next form */ }
    }
    throw this.#broken(`\\p{${name}} is not a property known here`);
  }

  /** After "[": nested sets, ranges, intersections. */
  #set(): string {
    const not = this.#take("^") ? "^" : "";
    const operands: string[] = [];
    let members = this.#take("]") ? "\\]" : ""; // a ] that comes first is itself
    while (!this.#take("]")) {
      if (this.#take("&&")) {
        operands.push(members);
        members = "";
        continue;
      }
      members += this.#member();
    }
    operands.push(members);
    if (operands.length === 1) return `[${not}${members}]`;
    return `[${not}${operands.map((x) => `[${x}]`).join("&&")}]`;
  }

  #member(): string {
    if (this.#at >= this.#pattern.length) throw this.#broken("it has a [ without ]");
    const posix = /^\[:(\^?)(\w+):\]/.exec(this.#rest());
    if (posix) {
      const members = POSIX[posix[2]!];
      if (members === undefined) throw this.#broken(`it uses [:${posix[2]}:]`);
      this.#at += posix[0].length;
      return `[${posix[1]}${members}]`;
    }
    if (this.#take("[")) return this.#set();
    const from = this.#setCharacter();
    if (!/^-[^\]]/.test(this.#rest()) || !isSingle(from)) return from;
    this.#at++;
    const to = this.#setCharacter();
    if (!isSingle(to)) return `${from}\\-${to}`;
    return `${from}-${to}`;
  }

  #setCharacter(): string {
    if (this.#take("\\")) {
      if (this.#take("b")) return literal(8);
      return this.#escape(true);
    }
    return literal(this.#character().codePointAt(0)!);
  }
}

const isSingle = (member: string) => !/^(\[|\\[pP])/.test(member);

/** One character, safe inside and outside of sets. */
export function literal(c: number): string {
  const text = String.fromCodePoint(c);
  return /[\p{L}\p{N} ]/u.test(text) ? text : `\\u{${c.toString(16)}}`;
}
