/**
 * ChatGLM3's conversations, which its tokenizer puts together from ids rather than by a template.
 *
 * @see THUDM/chatglm3-6b, tokenization_chatglm.py, `build_chat_input`
 * @module
 */
import type { ChatGlmTokenizer } from "../sentencepiece/chatglm_tokenizer.ts";
import { bind } from "./arguments.ts";
import { ChatError } from "./chat_error.ts";
import {
  type Chat,
  type ChatMessage,
  type Conversation,
  isLearned,
  type LearnedIds,
} from "./conversation.ts";
import { TOJSON, toJson } from "./python_json.ts";
import { fromJson, toText, toValue } from "./python_values.ts";

/** As its tokenizer writes tools: `json.dumps(tools, indent=4, ensure_ascii=False)`. */
const INDENTED = bind("dumps", TOJSON, { args: [], keywords: new Map([["indent", toValue(4)]]) });

const ROLES: Record<string, "<|system|>" | "<|user|>" | "<|assistant|>" | "<|observation|>"> = {
  system: "<|system|>",
  user: "<|user|>",
  assistant: "<|assistant|>",
  observation: "<|observation|>",
  tool: "<|observation|>",
};

/**
 * A message is the id of its role, its `metadata` (the name of a tool that the assistant calls) and a
 * line break, its content. What ends a turn of the assistant is the id of the next role, after the
 * last one `</s>`.
 */
export class ChatGlmChat implements Chat {
  readonly #tokenizer: ChatGlmTokenizer;

  /** Speaks with the ids of a tokenizer. */
  constructor(tokenizer: ChatGlmTokenizer) {
    this.#tokenizer = tokenizer;
  }

  encode(conversation: Conversation): LearnedIds {
    const ids = [...this.#tokenizer.encode("", { special: true })], learned = ids.map(() => 0);
    let isOpen = false; // the id that comes next ends a turn that is learned
    for (const message of this.#withTools(conversation)) {
      const [role, ...rest] = this.#message(message), learns = isLearned(message) ? 1 : 0;
      ids.push(role!, ...rest);
      learned.push(isOpen ? 1 : 0, ...rest.map(() => learns));
      isOpen = learns === 1;
    }
    const { eosId } = this.#tokenizer;
    if (isOpen && eosId !== undefined) {
      ids.push(eosId);
      learned.push(1);
    }
    return { ids: Int32Array.from(ids), learned: Uint8Array.from(learned) };
  }

  encodePrompt(conversation: Conversation): Int32Array {
    const ids = [...this.#tokenizer.encode("", { special: true })];
    for (const message of this.#withTools(conversation)) ids.push(...this.#message(message));
    return Int32Array.from([...ids, this.#tokenizer.idOf("<|assistant|>")]);
  }

  #message({ role, content, metadata }: ChatMessage): number[] {
    const token = ROLES[role];
    if (token === undefined) {
      throw new ChatError(
        `the role of a message must be one of ${Object.keys(ROLES).join(", ")}: ` +
          `current value is ${JSON.stringify(role)}`,
      );
    }
    const encode = (text: string) => [...this.#tokenizer.encode(text)];
    const name = typeof metadata === "string" ? metadata : "";
    return [this.#tokenizer.idOf(token), ...encode(`${name}\n`), ...encode(content ?? "")];
  }

  /** Tools stand in the system message that has them. */
  #withTools({ messages, tools }: Conversation): ChatMessage[] {
    const hasSystem = tools === undefined || messages[0]?.role === "system";
    const all: ChatMessage[] = [...hasSystem ? [] : [{ role: "system", content: "" }], ...messages];
    return all.map((message, i) => {
      const own = message.role === "system" ? message["tools"] ?? (i === 0 ? tools : null) : null;
      if (own === null || own === undefined) return message;
      const described = toText(toJson(fromJson(own), ...INDENTED));
      return { ...message, content: `${message.content ?? ""}\n${described}` };
    });
  }
}
