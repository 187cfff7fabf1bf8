import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { gunzipSync } from "node:zlib";
import { ConfigError } from "../../src/config/config_error.ts";
import { JinjaTemplate } from "../../src/tokenizer/chat/jinja_template.ts";
import { learnedRanges } from "../../src/tokenizer/chat/turns.ts";
import { strftime } from "../../src/tokenizer/chat/strftime.ts";
import {
  ChatError,
  type ChatMessage,
  type Conversation,
  loadChat,
  loadTokenizer,
} from "../../src/tokenizer/mod.ts";
import { copyOf, folder, rows as rowsOf } from "./fixtures.ts";

const FIXTURES = fromFileUrl(new URL("../fixtures/chat", import.meta.url));
const { templates, marked, conversations } = JSON.parse(
  Deno.readTextFileSync(join(FIXTURES, "templates.json")),
) as {
  templates: Record<string, { template: string; tokens: Record<string, string> }>;
  marked: Record<string, string>;
  conversations: Conversation[];
};

function rows<T>(file: string): T[] {
  const bytes = gunzipSync(Deno.readFileSync(join(FIXTURES, `${file}.jsonl.gz`)));
  return new TextDecoder().decode(bytes).trim().split("\n").map((line) => JSON.parse(line));
}

const loaded = new Map<string, ReturnType<typeof load>>();

/** The chat of a fixture tokenizer with a template. */
function chatOf(...args: Parameters<typeof load>): ReturnType<typeof load> {
  const key = JSON.stringify(args), found = loaded.get(key) ?? load(...args);
  loaded.set(key, found);
  return found;
}

function load(tokenizer: string, config: unknown, files: Record<string, string> = {}) {
  using copy = copyOf(tokenizer, ["tokenizer.json"], {
    "tokenizer_config.json": JSON.stringify(config),
    ...files,
  });
  const made = loadTokenizer(copy.dir);
  return { tokenizer: made, chat: loadChat(copy.dir, made)! };
}

const user = (content: string): ChatMessage => ({ role: "user", content });
const assistant = (content: string, more = {}): ChatMessage => ({
  role: "assistant",
  content,
  ...more,
});

interface RenderedRow {
  template: string;
  conversation: number;
  asks: boolean;
  text: string | null;
  generated?: [number, number][];
}

Deno.test("templates give the text that transformers gives, or refuse what it refuses", () => {
  const compiled = new Map<string, JinjaTemplate>();
  for (const row of rows<RenderedRow>("rendered")) {
    const { template, tokens } = templates[row.template]!;
    const jinja = compiled.get(row.template) ?? new JinjaTemplate(template, tokens);
    compiled.set(row.template, jinja);
    const conversation = conversations[row.conversation]!;
    const name = `${row.template} ${row.conversation} ${row.asks}`;
    if (row.text === null) {
      assertThrows(() => jinja.render(conversation, row.asks), Error, undefined, name);
      continue;
    }
    const { text, generated } = jinja.render(conversation, row.asks);
    assertEquals(text, row.text, name);
    const points = (end: number) => [...text.slice(0, end)].length; // Python counts characters
    if (row.generated) {
      assertEquals(generated.map((range) => range.map(points)), row.generated, name);
    }
  }
});

interface LearnedRow {
  template: string;
  conversation: number;
  tokenizer: string;
  ids: number[];
  learned: number[];
}

Deno.test("{% generation %} marks the tokens that transformers masks as the assistant's", () => {
  for (const row of rows<LearnedRow>("learned")) {
    const config = { ...templates[row.template]!.tokens, chat_template: marked[row.template] };
    const { chat } = chatOf(row.tokenizer, config);
    const { ids, learned } = chat.encode(conversations[row.conversation]!);
    const name = `${row.template} ${row.conversation} ${row.tokenizer}`;
    assertEquals([...ids], row.ids, name);
    assertEquals([...learned], row.learned, name);
  }
});

Deno.test("a template without marks is learned where its marked twin has them", () => {
  for (const row of rows<LearnedRow>("learned")) {
    const { template, tokens } = templates[row.template]!;
    const { chat } = chatOf(row.tokenizer, { ...tokens, chat_template: template });
    const { learned } = chat.encode(conversations[row.conversation]!);
    assertEquals(
      [...learned],
      row.learned,
      `${row.template} ${row.conversation} ${row.tokenizer}`,
    );
  }
});

Deno.test("every template without marks finds its turns in every conversation it takes", () => {
  for (const row of rows<RenderedRow>("rendered")) {
    const isOdd = ["odd", "leak", "generation3"].includes(row.template) ||
      row.template === "phi3" && row.conversation === 6; // a call of a tool, which it does not write
    if (row.asks || row.text === null || isOdd) continue;
    const { template, tokens } = templates[row.template]!;
    const { tokenizer, chat } = chatOf("qwen", { ...tokens, chat_template: template });
    const { messages, tools } = conversations[row.conversation]!;
    const { ids, learned } = chat.encode({ messages, tools });
    const answers = ids.filter((_, t) => learned[t]);
    const text = tokenizer.decode(answers);
    for (const { role, content } of messages) {
      const visible = (content ?? "").split("</think>").at(-1)!.trim();
      const where = `${row.template} ${row.conversation}: ${visible} in ${text}`;
      if (role === "assistant") assert(text.includes(visible), where);
      else if (role !== "tool") assert(!text.includes(`${visible}\n`), where);
    }
  }
});

Deno.test("earlier turns are found though the last one has thoughts and another end", () => {
  // as Qwen 3.5 (which opens thoughts in the generation prompt) and gpt-oss have it
  const template = "{% for m in messages %}<{{ m.role }}>" +
    "{% set is_last = loop.last and m.role == 'assistant' %}" +
    "{% if is_last %}<think>\n\n</think>\n{% endif %}{{ m.content|trim }}" +
    "{{ '<return>' if is_last else '<end>' }}{% endfor %}" +
    "{% if add_generation_prompt %}<assistant><think>\n{% endif %}";
  const jinja = new JinjaTemplate(template, {});
  const messages = [
    user("\ufdd0"),
    assistant(" d "),
    user("n"),
    assistant("end"),
    user("n"),
    assistant("d"),
  ];
  const { text } = jinja.render({ messages }, false);
  const learned = learnedRanges(jinja, { messages }, text).map(([from, to]) =>
    text.slice(from, to)
  );
  assertEquals(learned, ["d<end>", "end<end>", "\n</think>\nd<return>"]);
});

Deno.test("a message of weight 0 is not learned, in marked templates as in others", () => {
  const conversation = {
    messages: [user("a"), assistant("first", { weight: 0 }), user("b"), assistant("second")],
  };
  for (const chat_template of [templates["chatml"]!.template, marked["chatml"]!]) {
    const { tokenizer, chat } = chatOf("qwen", { chat_template });
    const { ids, learned } = chat.encode(conversation);
    assertEquals(tokenizer.decode(ids.filter((_, t) => learned[t])), "second<|im_end|>\n");
  }
});

Deno.test("encodePrompt() ends with what makes the model answer", () => {
  const { tokenizer, chat } = chatOf("qwen", { chat_template: templates["chatml"]!.template });
  const text = tokenizer.decode(chat.encodePrompt({ messages: [user("hi")] }));
  assertEquals(text, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
});

Deno.test("chat_template.jinja counts more than the configuration, and tools choose tool_use", () => {
  const config = { chat_template: [{ name: "default", template: "a" }] };
  const decoded = (files: Record<string, string>, tools?: unknown[]) => {
    const { tokenizer, chat } = chatOf("qwen", config, files);
    return tokenizer.decode(chat.encodePrompt({ messages: [user("x")], tools }));
  };
  assertEquals(decoded({}), "a");
  assertEquals(decoded({ "chat_template.jinja": "b\n" }), "b");
  const named = { chat_template: [{ name: "tool_use", template: "t" }, ...config.chat_template] };
  const { tokenizer, chat } = chatOf("qwen", named);
  assertEquals(tokenizer.decode(chat.encodePrompt({ messages: [user("x")], tools: [{}] })), "t");
  const { chat: nameless } = chatOf("qwen", { chat_template: [{ name: "rag", template: "r" }] });
  assertThrows(() => nameless.encodePrompt({ messages: [user("x")] }), ChatError, "templates rag");
});

Deno.test("loadChat() says what is wrong with a template, and gives nothing without one", () => {
  assertEquals(chatOf("qwen", {}).chat, undefined);
  const wrong: [unknown, string][] = [
    ["{% if %}", "Cannot use the chat template"],
    [5, "it must be a text, or a list of"],
    [[{ name: "default" }], "it must be a text, or a list of"],
  ];
  for (const [chat_template, message] of wrong) {
    assertThrows(() => chatOf("qwen", { chat_template }), ConfigError, message);
  }
});

Deno.test("templates may ask for functions, and for parts of contents that have none", () => {
  const render = (template: string, content: unknown) => {
    const messages = [{ role: "user", content }] as ChatMessage[];
    return new JinjaTemplate(template, {}).render({ messages }, false).text;
  };
  // as Llama 3.2, LLaVA and Llama 4 have them
  const now = "{% if strftime_now is defined %}{{ strftime_now('%Y')|length }}{% endif %}";
  assertEquals(render(now, ""), "4");
  const images = "{{ messages[0].content|selectattr('type', 'equalto', 'image')|list|length }}";
  assertEquals([render(images, "hi"), render(images, [{ type: "image" }])], ["0", "1"]);
  const texts =
    "{{ messages[0].content|selectattr('text', 'defined')|map(attribute='text')|join }}";
  assertEquals([render(texts, null), render(texts, "hi"), render(texts, [{ text: "a" }])], [
    "",
    "",
    "a",
  ]);
});

Deno.test("a conversation that the template refuses, or whose turns are lost, is a ChatError", () => {
  const { template, tokens } = templates["llama2"]!;
  const refused = chatOf("llama", { ...tokens, chat_template: template }).chat;
  const error = assertThrows(() => refused.encode({ messages: [user("a"), user("b")] }), ChatError);
  assertStringIncludes(error.message, "Conversation roles must alternate");
  const changing =
    "{% for m in messages %}{{ m.content if loop.last else loop.length }};{% endfor %}";
  const lost = chatOf("qwen", { chat_template: changing }).chat;
  assertThrows(
    () => lost.encode({ messages: [user("a"), assistant("b"), user("c")] }),
    ChatError,
    "writes messages[1] in another way when messages follow it",
  );
  const parts = "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{{ part.text }}" +
    "{% endfor %};{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
  const wordless = chatOf("qwen", { chat_template: parts }).chat;
  assertThrows(
    () => wordless.encode({ messages: [user("a"), assistant("b")] }),
    ChatError,
    "does not write the content of messages[1]",
  );
});

Deno.test("earlier turns that nothing ends are learned without an end", () => {
  const template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ '</s>' }}";
  const jinja = new JinjaTemplate(template, {});
  const messages = [user("q"), assistant("a"), user("q"), assistant("b")];
  const { text } = jinja.render({ messages }, false);
  const learned = learnedRanges(jinja, { messages }, text).map(([from, to]) =>
    text.slice(from, to)
  );
  assertEquals(learned, ["a\n", "b\n</s>"]);
});

Deno.test("chatglm3 puts conversations together as its tokenizer does", () => {
  const dir = folder("chatglm3"), tokenizer = loadTokenizer(dir), chat = loadChat(dir, tokenizer)!;
  interface Row {
    history: ChatMessage[];
    query: string;
    ids: number[];
  }
  for (const { history, query, ids } of rowsOf<Row>("chatglm3", "chat_cases")) {
    assertEquals([...chat.encodePrompt({ messages: [...history, user(query)] })], ids);
  }
  const { ids, learned } = chat.encode({
    messages: [user("a"), assistant("b"), user("c"), assistant("d")],
  });
  const [, , , ...rest] = learned;
  const prompt = chat.encodePrompt({ messages: [user("a")] });
  assertEquals([...learned.subarray(0, prompt.length)], [...prompt].map(() => 0));
  assertEquals(rest.filter((l) => l === 1).length < rest.length, true);
  assertEquals([ids.at(-1), learned.at(-1)], [tokenizer.eosId, 1]);
  assertThrows(() => chat.encode({ messages: [{ role: "x", content: "" }] }), ChatError, "role");
});

Deno.test("strftime() writes dates as Python does", () => {
  const date = new Date(2024, 6, 5, 15, 4, 9);
  assertEquals(
    strftime(date, "%d %b %Y, %A %B %-d %y %I:%M:%S %p %F %%"),
    "05 Jul 2024, Friday July 5 24 03:04:09 PM 2024-07-05 %",
  );
  assertEquals(strftime(date, "%e"), " 5");
  assertThrows(() => strftime(date, "%Q"), RangeError, "%Q");
});
