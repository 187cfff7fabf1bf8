/**
 * Templates as tokens, with white space as Jinja2 has it with `trim_blocks` and `lstrip_blocks`.
 * `@huggingface/jinja` finds the places of that by patterns that also match in texts, so it is given the
 * inside of one tag at a time; so it is known where each tag stands, too.
 *
 * @see pallets/jinja, src/jinja2/lexer.py
 * @module
 */
import { tokenize } from "@huggingface/jinja";
import { inOrder, type Token } from "./operator_order.ts";
import { SPACE, unescapeText } from "../python_text.ts";
import { testsAsFilters } from "./test_tokens.ts";

/** The filter that `{% generation %}` becomes: like it, a filter block is a scope of its own. */
export const GENERATED = "_generated";

/** Where a tag stands. */
export interface Place {
  /** Its first line, from 1 on. */
  line: number;
  /** Its text. */
  tag: string;
}

/** A template that the engine can parse. */
export interface TemplateTokens {
  /** Texts and tags; in front of each tag is a comment, which is the index of its place. */
  tokens: Token[];
  /** The places of the tags. */
  places: Place[];
}

/** An error with the place of what it is about. */
export function located({ line, tag }: Place, cause: unknown): SyntaxError {
  const shown = tag.replace(/\s+/g, " "), { message } = cause as Error;
  const short = shown.length > 80 ? `${shown.slice(0, 77)}...` : shown;
  return new SyntaxError(`line ${line}, ${short}: ${message}`, { cause });
}

const S = `[${SPACE}]`;
const OPENING = new RegExp(
  `\\{%([-+]?)${S}*raw${S}*(?:-%\\}${S}*|%\\})|(\\{#|\\{%|\\{\\{)([-+]?)`,
  "gu",
);
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}${S}*|#\\}\\n?`, "gu");
const RAW_END = new RegExp(`\\{%([-+]?)${S}*endraw${S}*(?:\\+%\\}|-%\\}${S}*|%\\}\\n?)`, "gu");
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}${S}*|%\\}\\n?`, "uy");
const VARIABLE_END = new RegExp(`-\\}\\}${S}*|\\}\\}`, "uy");
const ONLY_BLANKS = new RegExp(`^${S}+$`, "u");
const TRAILING_BLANKS = new RegExp(`${S}+$`, "u");
const PART = /'[^'\\]*(?:\\[^][^'\\]*)*'|"[^"\\]*(?:\\[^][^"\\]*)*"|[^]/uy;
/** `@huggingface/jinja` reads `1e3`, `1_000` and `012` as other things than Jinja2. */
const ODD_NUMBER = /(?<![\w.])(?:0\d|\d[\d.]*[\p{L}_])[\w.]*/u;

/**
 * Reads a template.
 *
 * @throws {SyntaxError} If a tag has no end, or holds what is no token
 */
export function readTemplate(source: string): TemplateTokens {
  const lines = source.split(/\r\n|\r|\n/);
  if (lines.at(-1) === "") lines.pop();
  return new Scanner(lines.join("\n")).run();
}

class Scanner {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  readonly #places: Place[] = [];
  #at = 0;
  #line = 1; // that of the character that #counted is the index of
  #counted = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): TemplateTokens {
    for (let tag; (tag = this.#find(OPENING)) !== null;) {
      const [, rawSign, opening, sign] = tag;
      this.#text(this.#textBefore(tag, rawSign ?? sign!, opening === "{{"));
      if (opening === undefined) {
        this.#text(this.#textBefore(...this.#end("raw block", RAW_END, tag)));
      } else if (opening === "{#") this.#textBefore(...this.#end("comment", COMMENT_END, tag));
      else this.#tag(opening, tag.index);
    }
    this.#text(this.#source.slice(this.#at));
    return { tokens: this.#tokens, places: this.#places };
  }

  #text(value: string): void {
    if (value !== "") this.#tokens.push({ type: "Text", value });
  }

  /** The text up to a tag; goes behind what opens it. */
  #textBefore(tag: RegExpExecArray, sign: string, isVariable: boolean): string {
    const text = this.#source.slice(this.#at, tag.index);
    const startsLine = this.#at === 0 || this.#source[this.#at - 1] === "\n";
    this.#at = tag.index + tag[0].length;
    if (sign === "-") return text.replace(TRAILING_BLANKS, "");
    const begin = text.lastIndexOf("\n") + 1;
    const isIndent = (begin > 0 || startsLine) && ONLY_BLANKS.test(text.slice(begin));
    return isIndent && sign !== "+" && !isVariable ? text.slice(0, begin) : text;
  }

  #end(what: string, pattern: RegExp, tag: RegExpExecArray): [RegExpExecArray, string, boolean] {
    const end = this.#find(pattern);
    if (end !== null) return [end, end[1] ?? "", false];
    throw located(this.#place(tag.index), new SyntaxError(`the ${what} has no end`));
  }

  #tag(opening: string, begin: number): void {
    try {
      const tokens = this.#read(opening, opening === "{%" ? "%}" : "}}");
      const index = this.#places.push(this.#place(begin)) - 1;
      this.#tokens.push({ type: "Comment", value: String(index) }, ...tokens);
    } catch (cause) {
      throw located(this.#place(begin), cause);
    }
  }

  /** The tokens of a tag; goes behind it. */
  #read(opening: string, closing: string): Token[] {
    const end = closing === "%}" ? BLOCK_END : VARIABLE_END;
    let inside = "", bare = "", depth = 0, found: RegExpExecArray | null = null;
    while (depth > 0 || (found = this.#find(end)) === null) {
      const part = this.#find(PART)?.[0];
      if (part === undefined) throw new SyntaxError("it has no end");
      this.#at += part.length;
      if ("([{".includes(part)) depth++;
      else if (")]}".includes(part)) depth--;
      if (depth < 0) throw new SyntaxError(`${part} closes nothing`);
      const isText = part.length > 1 && /^["']/.test(part);
      inside += isText ? `'${unescapeText(part.slice(1, -1)).replace(/[\\']/g, "\\$&")}'` : part;
      bare += isText ? "''" : part;
    }
    this.#at += found![0].length;
    const number = ODD_NUMBER.exec(bare)?.[0], name = closing === "%}" ? inside.trim() : "";
    if (number !== undefined) {
      throw new SyntaxError(`the number ${number} is not supported: use digits and a point`);
    }
    if (name === "generation") inside = `filter ${GENERATED}`;
    else if (name === "endgeneration") inside = "endfilter";
    return inOrder(testsAsFilters(tokenize(`${opening} ${inside} ${closing}`)));
  }

  /** That of the tag between a position and where the scanner is. */
  #place(begin: number): Place {
    for (; this.#counted < begin; this.#counted++) {
      if (this.#source[this.#counted] === "\n") this.#line++;
    }
    return { line: this.#line, tag: this.#source.slice(begin, this.#at).trim() };
  }

  #find(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source);
  }
}
