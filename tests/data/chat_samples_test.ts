import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { ConfigError } from "../../src/config/config_error.ts";
import { dumpSamples } from "../../src/data/dump_samples.ts";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { copyOf } from "../tokenizer/fixtures.ts";

const CHATML =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/** The samples of a data file, or its lines, as the text of what is learned, and all of it. */
async function learn(
  samples: unknown[],
  template?: string,
  maxLength = 128,
  [family, model]: [string, string] = ["qwen", "tokenizer.json"],
) {
  using copy = copyOf(family, [model, "tokenizer_config.json"], {
    "data.jsonl": samples.map((s) => typeof s === "string" ? s : JSON.stringify(s)).join("\n"),
    ...(template === undefined ? {} : { "chat_template.jinja": template }),
  });
  const tokenizer = loadTokenizer(copy.dir);
  const task = { dataPath: join(copy.dir, "data.jsonl"), modelPath: copy.dir, maxLength };
  const out: { all: string; learned: string }[] = [];
  for await (const { input_ids, attention_mask, labels } of dumpSamples(task)) {
    const all = input_ids.filter((_, t) => attention_mask[t] === 1);
    out.push({
      all: tokenizer.decode(all),
      learned: tokenizer.decode(labels.filter((label) => label !== -100)),
    });
  }
  return out;
}

Deno.test("messages are written by the chat template, and only the assistant's are learned", async () => {
  const messages = [
    { role: "system", content: "be brief" },
    { role: "user", content: "hi" },
    { role: "assistant", content: "hello" },
  ];
  const conversations = [{ from: "human", value: "hi" }, { from: "gpt", value: "hello" }];
  const [first, second] = await learn([{ messages }, { conversations }], CHATML);
  const turns = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n";
  assertEquals(first!.all, `<|im_start|>system\nbe brief<|im_end|>\n${turns}`);
  assertEquals(second!.all, turns);
  assertEquals(first!.learned, "hello<|im_end|>\n");
  assertEquals(second!.learned, "hello<|im_end|>\n");
});

Deno.test("messages that are too long are cut, without an end token in the wrong place", async () => {
  const messages = [{ role: "user", content: "hi" }, {
    role: "assistant",
    content: "a b ".repeat(30),
  }];
  const [sample] = await learn([{ messages }], CHATML, 32);
  assertEquals(sample!.learned.startsWith("a b"), true);
  assertEquals(sample!.learned.includes("<|"), false);
});

Deno.test("without a chat template sharegpt has the words of conversation, messages are refused", async () => {
  const rounds = [["ask", "hi"], ["ans", "hello"]];
  const conversations = [{ from: "human", value: "hi" }, { from: "gpt", value: "hello" }];
  const [shared, own] = await learn([{ conversations }, { type: "conversation", rounds }]);
  assertEquals(shared, own);
  const alpaca = { instruction: "i", input: "x", output: "o" };
  const [other, seed] = await learn([alpaca, {
    type: "instruct",
    instruct: "i",
    input: "x",
    output: "o",
  }]);
  assertEquals(other, seed);
  const messages = [{ role: "user", content: "hi" }, { role: "assistant", content: "hello" }];
  const withSystem = { conversations: [{ from: "system", value: "s" }, ...conversations] };
  for (const sample of [{ messages }, withSystem]) {
    const error = await assertRejects(() => learn([sample]), ConfigError);
    assertStringIncludes(error.message, "the model has no chat template (take chat_template.jinja");
  }
});

Deno.test("a conversation that the template refuses is named by its line", async () => {
  const template = "{{ raise_exception('Roles must alternate') }}";
  const messages = [{ role: "user", content: "hi" }];
  const error = await assertRejects(
    () => learn([{ type: "pretrain", text: "x" }, { messages }], template),
    ConfigError,
  );
  assertStringIncludes(
    error.message,
    "data.jsonl (line 2): the chat template does not take it: Roles",
  );
});

Deno.test("keys of tools and messages stay in order, those too that look like an index", async () => {
  const tool = '{"name":"f","b":{"2":"x","1":"y","a":"z"},"10":0}';
  const python = tool.replace(/(?<=[:,])/g, " ");
  const messages = '[{"role":"user","content":"hi"},{"role":"assistant","content":"yes"}]';
  const sample = `{"messages":${messages},"tools":[${tool}]}`;
  const template = `{{ tools | tojson }} {{ tools[0].b | list | join }}\n${CHATML}`;
  const [own] = await learn([sample], template, 512);
  assertEquals(own.all.split("\n")[0], `[${python}] 21a`);
  const [glm] = await learn([sample], undefined, 1024, ["chatglm3", "tokenizer.model"]);
  assertMatch(glm.all, /"b": \{\s*"2": "x",\s*"1": "y",\s*"a": "z"\s*\},\s*"10": 0\s*\}/);
});

Deno.test("floats of tools and messages are written as Python does, 1.0 not as 1", async () => {
  const messages = '[{"role":"user","content":"hi","t":2.0},' +
    '{"role":"assistant","content":"no","weight":0.0},{"role":"user","content":"and"},' +
    '{"role":"assistant","content":"yes","weight":1.0}]';
  const tool = '{"name":"f","default":1.0,"least":1e-05,"most":1e16,"n":3}';
  const tools = `[{"type":"function","function":${tool}}]`;
  const python = '{"name": "f", "default": 1.0, "least": 1e-05, "most": 1e+16, "n": 3}';
  const template = `{{ tools | tojson }} {{ messages[0].t }} {{ tools[0] }}\n${CHATML}`;
  const shared = '[{"from":"human","value":"hi"},{"from":"gpt","value":"yes"}]';
  const [own, other] = await learn(
    [
      `{"messages":${messages},"tools":${tools}}`,
      `{"conversations":${shared},"tools":${JSON.stringify(`[${tool}]`)}}`,
    ],
    template,
    512,
  );
  const written = `[{"type": "function", "function": ${python}}]`;
  const repr = written.slice(1, -1).replaceAll('"', "'");
  assertEquals(own.all.split("\n")[0], `${written} 2.0 ${repr}`);
  assertEquals(own.learned, "yes<|im_end|>\n");
  assertEquals(other.all.split("\n")[0], `${written}  ${repr}`);
  const chatglm: [string, string] = ["chatglm3", "tokenizer.model"];
  const [glm] = await learn(
    [`{"messages":${messages},"tools":${tools}}`],
    undefined,
    1024,
    chatglm,
  );
  for (const text of ['"default": 1.0,', '"least": 1e-05,', '"n": 3']) {
    assertStringIncludes(glm.all, text);
  }
});
