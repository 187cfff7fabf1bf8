/**
 * From one JSON value of a data file to a sample whose fields are all there and of the right kind.
 * @module
 */
import { nearest } from "../config/nearest.ts";
import type { ExactJson } from "../formats/json_exact.ts";
import type { JsonElement } from "../formats/json_stream.ts";
import type { Conversation } from "../tokenizer/mod.ts";
import { readMessages, readShareGpt } from "./messages.ts";
import { readRounds, type Round } from "./rounds.ts";
import { Fields, kindOf } from "./sample_fields.ts";

/** The types of samples, as `type` names them. */
export const SAMPLE_TYPES = [
  "pretrain",
  "instruct",
  "conversation",
  "ref_qa",
  "conver_has_api",
  "messages",
  "alpaca",
  "sharegpt",
  "tokens",
] as const;

/** One of {@linkcode SAMPLE_TYPES}. */
export type SampleType = typeof SAMPLE_TYPES[number];

/** A sample of each type. Labels are -100 where no loss is taken. */
export type Sample =
  | { type: "pretrain"; text: string }
  | { type: "instruct" | "alpaca"; instruct: string; input: string; output: string }
  | { type: "conversation"; rounds: Round[] }
  | { type: "ref_qa"; reference: string; rounds: Round[] }
  | { type: "conver_has_api"; description: ExactJson; rounds: Round[] }
  | { type: "messages" | "sharegpt"; conversation: Conversation }
  | { type: "tokens"; ids: Int32Array; labels: Int32Array };

/**
 * Reads a sample. One without `type` is known by a field that only its type has.
 *
 * @param path The data file, for messages
 * @param vocabSize Ids of `tokens` samples must be below it; undefined: not checked
 * @throws {ConfigError} Naming file, line, sample and field
 */
export function readSample(
  path: string,
  element: JsonElement,
  vocabSize: number | undefined,
): Sample {
  const fields = new Fields(path, element), type = typeOf(fields);
  switch (type) {
    case "pretrain":
      return { type, text: fields.text("text") };
    case "instruct":
      return { type, instruct: fields.text("instruct"), ...inputAndOutput(fields) };
    case "alpaca":
      expectEmpty(fields, "history");
      expectEmpty(fields, "system");
      return { type, instruct: fields.text("instruction"), ...inputAndOutput(fields) };
    case "conversation":
      return { type, rounds: readRounds(fields) };
    case "ref_qa":
      return { type, reference: fields.text("reference"), rounds: readRounds(fields) };
    case "conver_has_api":
      if (fields.raw("api_desc") === undefined) fields.missing("api_desc");
      return {
        type,
        description: fields.exact(["api_desc"]),
        rounds: readRounds(fields),
      };
    case "messages":
      return { type, conversation: readMessages(fields) };
    case "sharegpt":
      return { type, conversation: readShareGpt(fields) };
    case "tokens":
      return { type, ...readTokens(fields, vocabSize) };
  }
}

/** Types that samples of other programs have, by the field that gives them away. */
const SHAPES = { messages: "messages", conversations: "sharegpt", instruction: "alpaca" } as const;

function typeOf(fields: Fields): SampleType {
  const known = SAMPLE_TYPES as readonly string[];
  const type = fields.raw("type");
  if (typeof type === "string" && known.includes(type)) return type as SampleType;
  const all = `must be one of ${known.join(", ")}`;
  if (type === undefined) {
    const shape = Object.entries(SHAPES).find(([field]) => fields.has(field));
    if (shape !== undefined) return shape[1];
    const others = Object.keys(SHAPES).join(", ");
    return fields.fail("type", `is missing; it ${all}, or the sample must have one of ${others}`);
  }
  if (typeof type !== "string") return fields.fail("type", `${all}, but is ${kindOf(type)}`);
  const guess = nearest(type, known);
  const hint = guess === undefined ? "" : `; did you mean "${guess}"?`;
  return fields.fail("type", `${all}, but is ${JSON.stringify(type)}${hint}`);
}

function inputAndOutput(fields: Fields): { input: string; output: string } {
  return {
    input: fields.has("input") ? fields.text("input") : "",
    output: fields.text("output"),
  };
}

/** For what other programs train on, and the words of `instruct` have no place for. */
function expectEmpty(fields: Fields, name: string): void {
  const value = fields.raw(name);
  const isEmpty = value === undefined || value === null || value === "" ||
    (Array.isArray(value) && value.length === 0);
  if (!isEmpty) {
    fields.fail(name, "has no place in an alpaca sample; write the sample as messages");
  }
}

function readTokens(
  fields: Fields,
  vocabSize: number | undefined,
): { ids: Int32Array; labels: Int32Array } {
  const ids = fields.ids("input_ids", vocabSize, false);
  if (ids.length === 0) fields.fail("input_ids", "must hold at least one id, but is empty");
  if (!fields.has("labels")) return { ids, labels: ids.slice() };
  const labels = fields.ids("labels", vocabSize, true);
  if (labels.length !== ids.length) {
    fields.fail(
      "labels",
      `must be as long as input_ids (${ids.length}), but has ${labels.length} entries`,
    );
  }
  return { ids, labels };
}
