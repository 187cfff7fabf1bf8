/**
 * Regular expressions of tokenizer.json files, which are in Oniguruma's (Ruby) syntax, as JavaScript
 * ones. What differs is rewritten; what cannot be rewritten exactly is an error.
 *
 * @see https://github.com/kkos/oniguruma/blob/master/doc/RE
 * @module
 */

/**
 * Compiles a pattern, with the flags `gv`.
 *
 * @throws {SyntaxError} If it is broken, or uses what has no equal in JavaScript
 */
export function compileRegex(pattern: string): RegExp {
  const source = new Translator(pattern).alternatives(false);
  try {
    return new RegExp(source, "gv");
  } catch (cause) {
    throw new SyntaxError(`Cannot use the regular expression ${pattern}`, { cause });
  }
}

/** Matches the text literally. */
export function escapeRegex(text: string): string {
  return [...text].map((c) => literal(c.codePointAt(0)!)).join("");
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
const NEWLINE_END = "(?=\\n|(?![\\s\\S]))",
  NEWLINE_START = "(?:(?<![\\s\\S])|(?<=\\n)(?=[\\s\\S]))";

class Translator {
  readonly #pattern: string;
  #at = 0;
  #atomics = 0;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  /** Everything up to the end, or to the ")" of the group that it is in. */
  alternatives(inGroup: boolean): string {
    let out = "", tail = "";
    while (this.#at < this.#pattern.length) {
      if (this.#pattern[this.#at] === ")") {
        if (!inGroup) throw this.#broken("it has a ) without (");
        return out + tail;
      }
      if (this.#take("|")) {
        out += "|";
        continue;
      }
      const flags = /^\(\?([imx]*)(-[imx]+)?\)/.exec(this.#rest());
      if (flags) { // to the end of the group, alternatives included
        this.#at += flags[0].length;
        out += this.#flagGroup(flags[1]!, flags[2] ?? "");
        tail += ")";
        continue;
      }
      out += this.#quantified(this.#atom());
    }
    if (inGroup) throw this.#broken("it has a ( without )");
    return out + tail;
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

  #atom(): string {
    if (this.#take("(")) return this.#group();
    if (this.#take("[")) return this.#set();
    if (this.#take(".")) return "[^\\n]";
    if (this.#take("^")) return NEWLINE_START;
    if (this.#take("$")) return NEWLINE_END;
    if (this.#take("\\")) return this.#escape(false);
    return literal(this.#character().codePointAt(0)!);
  }

  #flagGroup(on: string, off: string): string {
    if (/[mx]/.test(on + off)) throw this.#broken("of the flags it may only use i");
    return on === "i" ? "(?i:" : off === "-i" ? "(?-i:" : "(?:";
  }

  #group(): string {
    let open = "(";
    const flags = /^\?([imx]*)(-[imx]+)?:/.exec(this.#rest());
    const named = /^\?<[A-Za-z_]\w*>/.exec(this.#rest());
    if (flags) {
      this.#at += flags[0].length;
      open = this.#flagGroup(flags[1]!, flags[2] ?? "");
    } else if (this.#take("?>")) {
      const body = this.alternatives(true);
      this.#close();
      return this.#atomic(body);
    } else if (named) {
      this.#at += named[0].length;
      open += named[0];
    } else {
      const look = ["?=", "?!", "?<=", "?<!"].find((x) => this.#take(x));
      if (look === undefined && this.#take("?")) {
        throw this.#broken("it has an unknown kind of group");
      }
      open = look === undefined ? "(?:" : open + look;
    }
    const body = this.alternatives(true);
    this.#close();
    return `${open}${body})`;
  }

  #close(): void {
    if (!this.#take(")")) throw this.#broken("it has a ( without )");
  }

  /** What a lookahead has matched is never given back: that is what atomic means. */
  #atomic(body: string): string {
    const name = `atomic${this.#atomics++}`;
    return `(?:(?=(?<${name}>${body}))\\k<${name}>)`;
  }

  #quantified(atom: string): string {
    for (;;) {
      const range = /^\{(?:(\d+)(,?)(\d*)|,(\d+))\}/.exec(this.#rest());
      if (range) {
        this.#at += range[0].length;
        const upTo = range[4];
        atom += upTo === undefined ? range[0] : `{0,${upTo}}`;
        if (this.#take("?")) atom += "?";
      } else if (this.#take("*") || this.#take("+") || this.#take("?")) {
        atom += this.#pattern[this.#at - 1];
        if (this.#take("?")) atom += "?";
        else if (this.#take("+")) atom = this.#atomic(atom);
      } else return atom;
      if (/^[*+?{]/.test(this.#rest())) atom = `(?:${atom})`;
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
      if (c === "A") return "(?<![\\s\\S])";
      if (c === "z") return "(?![\\s\\S])";
      if (c === "Z") return "(?=\\n?(?![\\s\\S]))";
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
function literal(c: number): string {
  const text = String.fromCodePoint(c);
  return /[\p{L}\p{N} ]/u.test(text) ? text : `\\u{${c.toString(16)}}`;
}
