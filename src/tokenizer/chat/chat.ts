/** The chat of a model directory: its template, or the rules of its tokenizer. @module */
import { ConfigError } from "../../config/config_error.ts";
import { ChatGlmTokenizer } from "../sentencepiece/chatglm_tokenizer.ts";
import { readSpecialTokens } from "../special_tokens.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { ChatGlmChat } from "./chatglm_chat.ts";
import { type Chat, type Conversation, isLearned, type LearnedIds } from "./conversation.ts";
import { ChatError } from "./chat_error.ts";
import { JinjaTemplate, type Rendered } from "./jinja_template.ts";
import { encodeRanges } from "./learned_tokens.ts";
import { readTemplates } from "./template_files.ts";
import { learnedRanges } from "./turns.ts";

/**
 * The chat of a directory.
 *
 * @param tokenizer That of the directory
 * @returns undefined if the directory has no chat template
 * @throws {ConfigError} If its template is broken
 */
export function loadChat(dir: string, tokenizer: Tokenizer): Chat | undefined {
  if (tokenizer instanceof ChatGlmTokenizer) return new ChatGlmChat(tokenizer);
  const { config, texts } = readSpecialTokens(dir);
  const sources = readTemplates(dir, config);
  if (sources.size === 0) return undefined;
  const templates = new Map<string, JinjaTemplate>();
  for (const [name, source] of sources) {
    try {
      templates.set(name, new JinjaTemplate(source, texts));
    } catch (cause) {
      const { message } = cause as Error;
      throw new ConfigError(`Cannot use the chat template "${name}" of ${dir}: ${message}`, {
        cause,
      });
    }
  }
  return new TemplateChat(tokenizer, templates);
}

/** Renders a template, then encodes the text. */
class TemplateChat implements Chat {
  readonly #tokenizer: Tokenizer;
  readonly #templates: ReadonlyMap<string, JinjaTemplate>;

  constructor(tokenizer: Tokenizer, templates: ReadonlyMap<string, JinjaTemplate>) {
    this.#tokenizer = tokenizer;
    this.#templates = templates;
  }

  encode(conversation: Conversation): LearnedIds {
    return refusing(() => {
      const template = this.#choose(conversation);
      const rendered = template.render(conversation, false);
      const marksLast = template.marksGeneration; // as transformers has it
      const ranges = marksLast
        ? markedRanges(conversation, rendered)
        : learnedRanges(template, conversation, rendered.text);
      return encodeRanges(this.#tokenizer, rendered.text, ranges, { marksLast });
    });
  }

  encodePrompt(conversation: Conversation): Int32Array {
    return refusing(() =>
      this.#tokenizer.encode(this.#choose(conversation).render(conversation, true).text)
    );
  }

  /** `tool_use` where there are tools, else `default`. */
  #choose({ tools }: Conversation): JinjaTemplate {
    const names = [...this.#templates.keys()];
    const chosen = (tools && this.#templates.get("tool_use")) ?? this.#templates.get("default");
    if (chosen !== undefined) return chosen;
    throw new ChatError(`of the chat templates ${names.join(", ")} none is called default`);
  }
}

/** What the template marks, but for messages that are not to be learned. */
function markedRanges({ messages }: Conversation, { generated }: Rendered): Rendered["generated"] {
  const turns = messages.filter(({ role }) => role === "assistant");
  if (turns.every(isLearned)) return generated;
  if (turns.length !== generated.length) {
    throw new ChatError(
      `a message has the weight 0, but the template marks ${generated.length} parts as generated ` +
        `for ${turns.length} messages of the assistant`,
    );
  }
  return generated.filter((_, i) => isLearned(turns[i]!));
}

function refusing<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (cause instanceof ChatError) throw cause;
    throw new ChatError(`the chat template does not take it: ${(cause as Error).message}`, {
      cause,
    });
  }
}
