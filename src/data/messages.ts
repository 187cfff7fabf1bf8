/** Conversations in the two forms that data sets have them: OpenAI's and ShareGPT's. @module */
import type { ChatMessage, Conversation } from "../tokenizer/mod.ts";
import { parseExact, plainWithFloats } from "../formats/json_exact.ts";
import { type Fields, kindOf } from "./sample_fields.ts";

/** The fields `messages` (`{"role", "content"}` each) and `tools`. */
export function readMessages(fields: Fields): Conversation {
  const messages = listOf(fields, "messages", '{"role", "content"}').map((entry, i) => {
    const at = `messages[${i}]`, message = objectAt(fields, at, entry, '{"role", "content"}');
    const role = fields.textAt(`${at}.role`, message["role"]);
    return { ...message, role, content: contentOf(fields, at, message) };
  });
  return { messages, tools: toolsOf(fields) };
}

/** The fields `conversations` (`{"from", "value"}` each), `system` and `tools`. */
export function readShareGpt(fields: Fields): Conversation {
  const system = fields.has("system") ? fields.text("system") : "";
  const messages = listOf(fields, "conversations", '{"from", "value"}').map((entry, i) => {
    const at = `conversations[${i}]`, turn = objectAt(fields, at, entry, '{"from", "value"}');
    const isNamed = turn["from"] === undefined && turn["role"] !== undefined;
    const [who, what] = isNamed ? ["role", "content"] as const : ["from", "value"] as const;
    const from = fields.textAt(`${at}.${who}`, turn[who]);
    const value = fields.textAt(`${at}.${what}`, turn[what]);
    if (from === "function_call") return callOf(fields, `${at}.${what}`, value);
    if (!Object.hasOwn(ROLES, from)) {
      fields.fail(
        `${at}.${who}`,
        `must be one of ${Object.keys(ROLES).join(", ")}, function_call, but is ${
          JSON.stringify(from)
        }`,
      );
    }
    return { role: ROLES[from]!, content: value };
  });
  const first: ChatMessage[] = system === "" ? [] : [{ role: "system", content: system }];
  return { messages: [...first, ...messages], tools: toolsOf(fields)?.map(asFunction) };
}

const ROLES: Record<string, string> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  assistant: "assistant",
  system: "system",
  tool: "tool",
  observation: "tool",
  function_response: "tool",
};

function listOf(fields: Fields, name: string, of: string): unknown[] {
  const list = fields.withFloats(name);
  if (list === undefined) fields.missing(name);
  if (!Array.isArray(list)) fields.fail(name, `must be a list of ${of}, but is ${kindOf(list)}`);
  if (list.length === 0) fields.fail(name, "must hold at least one message, but is empty");
  return list;
}

function objectAt(
  fields: Fields,
  at: string,
  value: unknown,
  of: string,
): Record<string, unknown> {
  if (kindOf(value) !== "an object") fields.fail(at, `must be ${of}, but is ${kindOf(value)}`);
  return value as Record<string, unknown>;
}

/** A text, or text parts; null or nothing where tools are called. */
function contentOf(fields: Fields, at: string, message: Record<string, unknown>): string | null {
  const { content } = message;
  const calls = message["tool_calls"];
  if (content === null || content === undefined) {
    if (Array.isArray(calls) && calls.length > 0) return null;
    return fields.textAt(`${at}.content`, content);
  }
  if (!Array.isArray(content)) return fields.textAt(`${at}.content`, content);
  return content.map((part, i) => {
    const where = `${at}.content[${i}]`;
    const { type, text } = objectAt(fields, where, part, '{"type": "text", "text"}');
    if (type !== "text") {
      fields.fail(`${where}.type`, `must be "text", but is ${JSON.stringify(type)}`);
    }
    return fields.textAt(`${where}.text`, text);
  }).join("");
}

/** A list, or the JSON text of one. */
function toolsOf(fields: Fields): unknown[] | undefined {
  let tools = fields.withFloats("tools");
  if (tools === undefined || tools === null || tools === "") return undefined;
  if (typeof tools === "string") tools = parsed(fields, "tools", tools);
  if (!Array.isArray(tools)) {
    fields.fail("tools", `must be a list or the JSON text of one, but is ${kindOf(tools)}`);
  }
  return tools.length > 0 ? tools : undefined;
}

/** ShareGPT data describe the function alone. */
function asFunction(tool: unknown): unknown {
  const isBare = kindOf(tool) === "an object" && !Object.hasOwn(tool as object, "function");
  return isBare ? { type: "function", function: tool } : tool;
}

function callOf(fields: Fields, field: string, value: string): ChatMessage {
  const calls = [parsed(fields, field, value)].flat().map((call) => {
    const { name, arguments: given } = objectAt(fields, field, call, '{"name", "arguments"}');
    return { type: "function", function: { name: fields.textAt(field, name), arguments: given } };
  });
  return { role: "assistant", content: null, tool_calls: calls };
}

function parsed(fields: Fields, field: string, text: string): unknown {
  try {
    return plainWithFloats(parseExact(text));
  } catch (cause) {
    return fields.fail(field, `must be JSON, but is not: ${(cause as Error).message}`);
  }
}
