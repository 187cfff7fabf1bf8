import { assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError } from "../../src/config/config_error.ts";
import { readSample, type Sample } from "../../src/data/sample.ts";

function read(value: unknown, vocabSize?: number) {
  const text = JSON.stringify(value);
  return readSample("a.json", { value, text, index: 3, line: 17, bytes: [0, 1] }, vocabSize);
}

function action(change: Record<string, unknown>) {
  const base = { inner_thought: "t", api_name: "f", api_param: {}, api_res: "r" };
  const rounds = [["ans-api", { actions: [{ ...base, ...change }], ans: "a" }]];
  return { type: "conver_has_api", api_desc: "d", rounds };
}

Deno.test("readSample() names file, line, sample and field of what is wrong", () => {
  const cases: [unknown, string][] = [
    [[1], "a sample must be an object, but is a list"],
    ["text", "a sample must be an object, but is text"],
    [{ text: "x" }, 'field "type" is missing; it must be one of pretrain, instruct,'],
    [{ txt: "x" }, "or the sample must have one of messages, conversations, instruction"],
    [{ type: 5 }, 'field "type" must be one of'],
    [{ instruction: "x" }, 'field "output" is missing'],
    [{ instruction: "x", output: "y", history: [["a", "b"]] }, 'field "history" has no place'],
    [{ instruction: "x", output: "y", system: "be" }, 'field "system" has no place'],
    [{ messages: [] }, 'field "messages" must hold at least one message'],
    [{ messages: {} }, 'field "messages" must be a list of {"role", "content"}, but is an object'],
    [{ messages: ["x"] }, '"messages[0]" must be {"role", "content"}, but is text'],
    [{ messages: [{ content: "x" }] }, '"messages[0].role" must be text, but is missing'],
    [{ messages: [{ role: "user" }] }, '"messages[0].content" must be text, but is missing'],
    [
      { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
      '"messages[0].content[0].type" must be "text", but is "image_url"',
    ],
    [
      { messages: [{ role: "user", content: "x" }], tools: {} },
      'field "tools" must be a list or the JSON text of one, but is an object',
    ],
    [{ conversations: [{ value: "x" }] }, '"conversations[0].from" must be text, but is missing'],
    [
      { conversations: [{ from: "alien", value: "x" }] },
      '"conversations[0].from" must be one of human, user, gpt,',
    ],
    [
      { conversations: [{ from: "function_call", value: "x" }] },
      '"conversations[0].value" must be JSON, but is not',
    ],
    [{ type: "pretrian", text: "x" }, 'but is "pretrian"; did you mean "pretrain"?'],
    [{ type: "pretrain" }, 'field "text" is missing'],
    [{ type: "pretrain", txt: "x" }, 'field "text" is missing (there is "txt")'],
    [{ type: "pretrain", text: 5 }, 'field "text" must be text, but is a number'],
    [{ type: "pretrain", text: "\ud800" }, 'field "text" holds half of a surrogate pair'],
    [{ type: "instruct", instruct: "x", output: ["y"] }, '"output" must be text, but is a list'],
    [
      { type: "instruct", instruct: "x", input: 1, output: "" },
      '"input" must be text, but is a number',
    ],
    [{ type: "conversation" }, 'field "rounds" is missing'],
    [
      { type: "conversation", rounds: {} },
      '"rounds" must be a list of [role, text], but is an object',
    ],
    [
      { type: "conversation", rounds: [["ask"]] },
      '"rounds[0]" must be [role, text], but is a list of 1',
    ],
    [
      { type: "conversation", rounds: [["ask", "a"], ["asn", "b"]] },
      '"rounds[1][0]" must be "ask", "ans" or "ans-api", but is "asn"',
    ],
    [{ type: "conversation", rounds: [["ask", null]] }, '"rounds[0][1]" must be text, but is null'],
    [{ type: "ref_qa", rounds: [] }, 'field "reference" is missing'],
    [{ type: "conver_has_api", rounds: [] }, 'field "api_desc" is missing'],
    [
      { type: "conver_has_api", api_desc: "d", rounds: [["ans-api", "x"]] },
      '"rounds[0][1]" must be {"actions", "ans"}, but is text',
    ],
    [
      action({ api_param: "[1]" }),
      '"rounds[0][1].actions[0].api_param" must be an object or its JSON text, but is the text of a list',
    ],
    [
      action({ api_param: "{" }),
      'api_param" must be an object or its JSON text, but the text is not JSON: expected',
    ],
    [action({ api_param: 5 }), 'api_param" must be an object or its JSON text, but is a number'],
    [
      action({ api_param: undefined }),
      'api_param" must be an object or its JSON text, but is missing',
    ],
    [action({ api_res: undefined }), 'actions[0].api_res" is missing'],
    [action({ api_name: null }), 'actions[0].api_name" must be text, but is null'],
    [{ type: "tokens" }, 'field "input_ids" is missing'],
    [{ type: "tokens", input_ids: [] }, '"input_ids" must hold at least one id'],
    [
      { type: "tokens", input_ids: [1, 10] },
      '"input_ids[1]" must be an id below the vocabulary size 10, but is 10',
    ],
    [{ type: "tokens", input_ids: [1, -1] }, '"input_ids[1]" must be an id'],
    [{ type: "tokens", input_ids: [1.5] }, '"input_ids[0]" must be an id'],
    [
      { type: "tokens", input_ids: [1, 2], labels: [1] },
      '"labels" must be as long as input_ids (2), but has 1',
    ],
    [
      { type: "tokens", input_ids: [1], labels: [-1] },
      '"labels[0]" must be an id below the vocabulary size 10 or -100',
    ],
  ];
  for (const [value, message] of cases) {
    const error = assertThrows(() => read(value, 10));
    assertInstanceOf(error, ConfigError);
    assertStringIncludes(error.message, "Cannot use sample [3] of a.json (line 17): ");
    assertStringIncludes(error.message, message);
  }
});

Deno.test("readSample() takes api_param as an object or as its JSON text, numbers unchanged", () => {
  for (const wrap of [(s: string) => s, JSON.stringify]) {
    const text = `{"type": "conver_has_api", "api_desc": {"b": 1.0, "1": 2}, "rounds": [["ans-api",
      {"actions": [{"inner_thought": "", "api_name": "f", "api_param":
      ${wrap('{"z": 3.0, "1": 12345678901234567890}')}, "api_res": {"y": 1e2, "0": 1.50}}],
      "ans": "a"}]]}`;
    const value = JSON.parse(text);
    const sample = readSample("f", { value, text, index: 0, line: 1, bytes: [0, 0] }, undefined);
    if (sample.type !== "conver_has_api") throw new TypeError(sample.type);
    const round = sample.rounds[0]!;
    if (round.role !== "ans-api") throw new TypeError(round.role);
    assertEquals([...round.actions[0]!.params.keys()], ["z", "1"]);
    assertEquals(round.actions[0]!.result, '{\n  "y": 100.0,\n  "0": 1.5\n}');
    assertEquals([...(sample.description as Map<string, unknown>).keys()], ["b", "1"]);
  }
});

Deno.test("readSample() takes null for an absent input, and tokens without labels", () => {
  const sample = read({ type: "instruct", instruct: "i", input: null, output: "o" });
  assertEquals(sample, { type: "instruct", instruct: "i", input: "", output: "o" });
  const tokens = read({ type: "tokens", input_ids: [5, 6] });
  assertEquals(tokens, { type: "tokens", ids: Int32Array.of(5, 6), labels: Int32Array.of(5, 6) });
});

Deno.test("readSample() knows the samples of other programs without a type", () => {
  const messages = [{ role: "user", content: "a", name: "n" }, { role: "assistant", content: "b" }];
  const plain: Sample = { type: "messages", conversation: { messages, tools: undefined } };
  assertEquals(read({ messages }), plain);
  assertEquals(read({ type: "messages", messages, tools: "[]" }), plain);
  const parts = [{ type: "text", text: "a" }, { type: "text", text: "b" }];
  const call = { role: "assistant", content: null, tool_calls: [{ id: "1" }] };
  assertEquals(read({ messages: [{ role: "user", content: parts }, call] }), {
    type: "messages",
    conversation: { messages: [{ role: "user", content: "ab" }, call], tools: undefined },
  });
  assertEquals(read({ instruction: "i", input: "", output: "o", text: "all", history: [] }), {
    type: "alpaca",
    instruct: "i",
    input: "",
    output: "o",
  });
});

Deno.test("readSample() reads the roles, calls and tools of sharegpt samples", () => {
  const call = { name: "f", arguments: { x: 1 } };
  const sample = read({
    id: "1",
    system: "s",
    tools: JSON.stringify([{ name: "f" }]),
    conversations: [
      { from: "human", value: "a" },
      { from: "function_call", value: JSON.stringify(call) },
      { from: "observation", value: "1" },
      { from: "gpt", value: "b" },
      { role: "user", content: "c" },
    ],
  });
  assertEquals(sample, {
    type: "sharegpt",
    conversation: {
      messages: [
        { role: "system", content: "s" },
        { role: "user", content: "a" },
        { role: "assistant", content: null, tool_calls: [{ type: "function", function: call }] },
        { role: "tool", content: "1" },
        { role: "assistant", content: "b" },
        { role: "user", content: "c" },
      ],
      tools: [{ type: "function", function: { name: "f" } }],
    },
  });
});

Deno.test("an api description of null is the text null, as gdGPT writes it", () => {
  const sample = read({ type: "conver_has_api", api_desc: null, rounds: [] });
  assertEquals(sample, { type: "conver_has_api", description: null, rounds: [] });
});
