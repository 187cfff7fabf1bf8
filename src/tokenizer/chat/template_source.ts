/**
 * White space of templates as Jinja2 has it with `trim_blocks` and `lstrip_blocks`. `@huggingface/jinja`
 * finds these places by patterns that also match in texts, so what it gets has none left to find.
 *
 * @see pallets/jinja, src/jinja2/lexer.py
 * @module
 */
import { SPACE } from "./python_text.ts";

/** The filter that `{% generation %}` becomes: like it, a filter block is a scope of its own. */
export const GENERATED = "_generated";

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
const PART = /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|[^]/uy;
/** `@huggingface/jinja` reads `1e3`, `1_000` and `012` as other things than Jinja2. */
const ODD_NUMBER = /(?<![\w.])(?:0\d|\d[\d.]*[\p{L}_])/u;
/** Prints nothing, and keeps apart what stands around it. */
const NOTHING = "{{''}}";

/**
 * The same template without marks of white space, comments and raw blocks.
 *
 * @throws {SyntaxError} If a tag has no end
 */
export function withoutSpaceControl(source: string): string {
  const lines = source.split(/\r\n|\r|\n/);
  if (lines.at(-1) === "") lines.pop();
  return new Scanner(lines.join("\n")).run();
}

class Scanner {
  readonly #source: string;
  #at = 0;
  #out = "";

  constructor(source: string) {
    this.#source = source;
  }

  run(): string {
    for (let tag; (tag = this.#find(OPENING)) !== null;) {
      const [, rawSign, opening, sign] = tag;
      const text = this.#textBefore(tag, rawSign ?? sign!, opening === "{{");
      this.#out += text.replace(/\{$/, "{{'{'}}"); // else it would begin the tag
      if (opening === undefined) this.#raw();
      else if (opening === "{#") this.#comment();
      else this.#tag(opening);
    }
    const text = this.#source.slice(this.#at);
    return this.#out + text + (text.endsWith("\n") ? "\n" : ""); // one is taken away at the end
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

  #raw(): void {
    const end = this.#find(RAW_END);
    if (end === null) throw new SyntaxError("a raw block has no end");
    this.#out += `{{${JSON.stringify(this.#textBefore(end, end[1]!, false))}}}`;
  }

  #comment(): void {
    const end = this.#find(COMMENT_END);
    if (end === null) throw new SyntaxError("a comment has no end");
    this.#at = end.index + end[0].length;
    this.#out += NOTHING;
  }

  #tag(opening: string): void {
    const isBlock = opening === "{%", end = isBlock ? BLOCK_END : VARIABLE_END;
    let inside = "", bare = "", depth = 0, closing: RegExpExecArray | null = null;
    while (depth > 0 || (closing = this.#find(end)) === null) {
      const part = this.#find(PART)?.[0];
      if (part === undefined) throw new SyntaxError(`${opening} has no end: ${inside.trim()}`);
      if ("([{".includes(part)) depth++;
      else if (")]}".includes(part)) depth--;
      if (depth < 0) throw new SyntaxError(`unexpected ${part} in ${opening}${inside}`);
      const isText = part.length > 1 && /^["']/.test(part);
      inside += isText ? part.replace(/\\\n/g, "") : part;
      bare += isText ? "''" : part;
      this.#at += part.length;
    }
    this.#at += closing![0].length;
    const number = ODD_NUMBER.exec(bare);
    if (number !== null) throw new SyntaxError(`the number in "${bare.trim()}" is not supported`);
    if (!isBlock) this.#out += `{{ ${inside} }}`;
    else if (inside.trim() === "generation") this.#out += `{% filter ${GENERATED} %}`;
    else if (inside.trim() === "endgeneration") this.#out += "{% endfilter %}";
    else this.#out += `{% ${inside} %}`;
  }

  #find(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source);
  }
}
