/** JSON Lines of texts to JSON Lines of ids, and back. @module */
import { parseJson } from "../formats/json_exact.ts";
import type { DecodeOptions, EncodeOptions, Tokenizer } from "./tokenizer.ts";

/** Line of the input, from 1, to a line of the output. */
export type LineMapper = (line: string, number: number) => string;

/** Maps `{"text": TEXT}` to `{"ids": [...]}`. */
export function encodeLines(tokenizer: Tokenizer, options: EncodeOptions): LineMapper {
  return (line, number) => {
    const text = field(line, number, "text");
    if (typeof text !== "string") throw wrong(number, "text", "a string", text);
    return `{"ids":[${tokenizer.encode(text, options).join(",")}]}`;
  };
}

/** Maps `{"ids": [...]}` to `{"text": TEXT}`. */
export function decodeLines(tokenizer: Tokenizer, options: DecodeOptions): LineMapper {
  return (line, number) => {
    const ids = field(line, number, "ids");
    const max = tokenizer.vocabSize - 1;
    const isId = (id: unknown) =>
      Number.isInteger(id) && (id as number) >= 0 && id as number <= max;
    if (!Array.isArray(ids) || !ids.every(isId)) {
      const bad = Array.isArray(ids) ? ids.find((id) => !isId(id)) : ids;
      throw wrong(number, "ids", `an array of integers from 0 to ${max}`, bad);
    }
    return JSON.stringify({ text: tokenizer.decode(ids, options) });
  };
}

/**
 * Maps lines as they come; blank ones are left out. Memory is a block and the longest line.
 *
 * @returns Output in blocks of whole lines
 * @throws {TypeError} If a line is not what it must be; names the line
 */
export async function* mapLines(
  input: AsyncIterable<Uint8Array>,
  mapper: LineMapper,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "", number = 0;
  for await (const bytes of input) {
    const block = decodeBlock(decoder, bytes, number);
    rest += block;
    if (!block.includes("\n")) continue;
    const lines = rest.split("\n");
    rest = lines.pop()!;
    let out = "";
    for (const line of lines) {
      number++;
      if (line.trim() !== "") out += mapper(line, number) + "\n";
    }
    if (out !== "") yield out;
  }
  rest += decodeBlock(decoder, undefined, number);
  if (rest.trim() !== "") yield mapper(rest, number + 1) + "\n";
}

function decodeBlock(
  decoder: TextDecoder,
  bytes: Uint8Array | undefined,
  linesRead: number,
): string {
  try {
    return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
  } catch (cause) {
    throw new TypeError(`Cannot read the input after line ${linesRead}: it is not UTF-8`, {
      cause,
    });
  }
}

function field(line: string, number: number, name: string): unknown {
  let value: unknown;
  try {
    value = parseJson(line);
  } catch (cause) {
    throw new TypeError(`Cannot read line ${number} of the input: ${(cause as Error).message}`);
  }
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) {
    throw new TypeError(
      `Cannot read line ${number} of the input: it must be an object with the field "${name}"`,
    );
  }
  return (value as Record<string, unknown>)[name];
}

function wrong(number: number, name: string, must: string, value: unknown): TypeError {
  const text = JSON.stringify(value) ?? "missing";
  return new TypeError(
    `Cannot read line ${number} of the input: "${name}" must be ${must}: current value is ` +
      (text.length > 80 ? `${text.slice(0, 80)}...` : text),
  );
}
