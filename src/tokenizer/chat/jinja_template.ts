/**
 * The templates of tokenizer_config.json, rendered as transformers renders them.
 *
 * @see huggingface/transformers, utils/chat_template_utils.py
 * @module
 */
import type { Conversation } from "./conversation.ts";
import { compileTemplate, type Render } from "./python_interpreter.ts";
import { fromJson, toValue } from "./python_values.ts";
import { GENERATED } from "./template_source.ts";

/** Part of a text: `[begin, end)` in UTF-16 units. */
export type Range = [begin: number, end: number];

/** What a template made of a conversation. */
export interface Rendered {
  /** The text. */
  text: string;
  /** What stands between `{% generation %}` and `{% endgeneration %}`. */
  generated: Range[];
}

/** A compiled template. */
export class JinjaTemplate {
  /** Whether the template itself marks what the model writes. */
  readonly marksGeneration: boolean;
  readonly #render: Render;
  readonly #texts: Readonly<Record<string, string>>;
  /** Characters that stand at the begin and the end of what is generated. */
  #marks: [begin: string, end: string] = ["", ""];

  /**
   * Compiles a template.
   *
   * @param source Its text
   * @param texts Special tokens by name, such as `bos_token`
   * @throws {SyntaxError} If it is broken, or uses what is not known here
   */
  constructor(source: string, texts: Readonly<Record<string, string>>) {
    const mark = (text: string) => this.#marks[0] + text + this.#marks[1];
    this.#render = compileTemplate(source, new Map([[GENERATED, mark]]));
    this.marksGeneration = GENERATION.test(source);
    this.#texts = texts;
  }

  /**
   * Renders a conversation.
   *
   * @param asks Whether the text ends with what makes the model answer
   * @throws {Error} As the template has it, for a conversation that it does not take
   */
  render({ messages, tools }: Conversation, asks: boolean): Rendered {
    this.#marks = unusedMarks(JSON.stringify(messages));
    const text = this.#render([
      ...Object.entries(this.#texts).map(([name, text]) => [name, toValue(text)] as const),
      ["messages", fromJson(messages)],
      ["tools", fromJson(tools ?? null)],
      ["documents", toValue(null)],
      ["add_generation_prompt", toValue(asks)],
    ]);
    return this.marksGeneration ? unmark(text, ...this.#marks) : { text, generated: [] };
  }
}

const GENERATION = /\{%[-+]?\s*generation\s*[-+]?%\}/;

/** Two characters that do not occur: of those that Unicode keeps free for such use. */
export function unusedMarks(text: string): [string, string] {
  const free: string[] = [];
  for (let c = 0xfdd0; free.length < 2 && c <= 0xfdef; c++) {
    if (!text.includes(String.fromCharCode(c))) free.push(String.fromCharCode(c));
  }
  if (free.length < 2) throw new RangeError("all of the characters U+FDD0 to U+FDEF are in use");
  return free as [string, string];
}

function unmark(marked: string, begin: string, end: string): Rendered {
  const generated: Range[] = [];
  let text = "";
  for (const part of marked.split(new RegExp(`([${begin}${end}])`))) {
    if (part === begin) generated.push([text.length, text.length]);
    else if (part === end) generated.at(-1)![1] = text.length;
    else text += part;
  }
  return { text, generated };
}
