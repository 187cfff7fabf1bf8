/**
 * From one JSON value of a data file to a sample whose fields are all there and of the right kind.
 * @module
 */
import { ConfigError } from "../config/config_error.ts";
import { nearest } from "../config/nearest.ts";
import { type ExactJson, parseExact } from "../formats/json_exact.ts";
import type { JsonElement } from "../formats/json_stream.ts";
import { pythonJson } from "./python_repr.ts";

/** The types of samples, as `type` names them. */
export const SAMPLE_TYPES = [
  "pretrain",
  "instruct",
  "conversation",
  "ref_qa",
  "conver_has_api",
  "tokens",
] as const;

/** One of {@linkcode SAMPLE_TYPES}. */
export type SampleType = typeof SAMPLE_TYPES[number];

/** One call of an api, which the model writes, and what the api answered. */
export interface ApiAction {
  /** What the model says before it calls. */
  thought: string;
  /** Name of the function. */
  name: string;
  /** Keyword arguments, in file order. */
  params: Map<string, ExactJson>;
  /** The answer: the text, or Python's `json.dumps` of anything else. */
  result: string;
}

/** One turn of a conversation. */
export type Round =
  | { role: "ask"; text: string }
  | { role: "ans"; text: string }
  | { role: "ans-api"; actions: ApiAction[]; answer: string };

/** A sample of each type. Labels are -100 where no loss is taken. */
export type Sample =
  | { type: "pretrain"; text: string }
  | { type: "instruct"; instruct: string; input: string; output: string }
  | { type: "conversation"; rounds: Round[] }
  | { type: "ref_qa"; reference: string; rounds: Round[] }
  | { type: "conver_has_api"; description: ExactJson; rounds: Round[] }
  | { type: "tokens"; ids: Int32Array; labels: Int32Array };

/**
 * Reads a sample.
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
  const fields = new Fields(path, element);
  const type = fields.type();
  switch (type) {
    case "pretrain":
      return { type, text: fields.text("text") };
    case "instruct":
      return {
        type,
        instruct: fields.text("instruct"),
        input: fields.has("input") ? fields.text("input") : "",
        output: fields.text("output"),
      };
    case "conversation":
      return { type, rounds: fields.rounds() };
    case "ref_qa":
      return { type, reference: fields.text("reference"), rounds: fields.rounds() };
    case "conver_has_api":
      if (!fields.has("api_desc")) fields.missing("api_desc");
      return {
        type,
        description: fields.exact(["api_desc"]),
        rounds: fields.rounds(),
      };
    case "tokens": {
      const ids = fields.ids("input_ids", vocabSize, false);
      if (ids.length === 0) fields.fail("input_ids", "must hold at least one id, but is empty");
      if (!fields.has("labels")) return { type, ids, labels: ids.slice() };
      const labels = fields.ids("labels", vocabSize, true);
      if (labels.length !== ids.length) {
        fields.fail(
          "labels",
          `must be as long as input_ids (${ids.length}), but has ${labels.length} entries`,
        );
      }
      return { type, ids, labels };
    }
  }
}

type Path = (string | number)[];

/** The fields of one sample; every complaint names the file, the line, the sample and the field. */
class Fields {
  readonly #path: string;
  readonly #element: JsonElement;
  readonly #object: Record<string, unknown>;
  #exact: ExactJson | undefined;

  constructor(path: string, element: JsonElement) {
    this.#path = path;
    this.#element = element;
    if (kindOf(element.value) !== "an object") {
      this.fail(undefined, `must be an object, but is ${kindOf(element.value)}`);
    }
    this.#object = element.value as Record<string, unknown>;
  }

  fail(field: string | undefined, problem: string): never {
    const { index, line } = this.#element;
    throw new ConfigError(
      `Cannot use sample [${index}] of ${this.#path} (line ${line}): ` +
        (field === undefined ? `a sample ${problem}` : `field "${field}" ${problem}`),
    );
  }

  missing(field: string): never {
    const found = nearest(field, Object.keys(this.#object));
    return this.fail(field, `is missing${found === undefined ? "" : ` (there is "${found}")`}`);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name) && this.#object[name] !== null;
  }

  type(): SampleType {
    const known = SAMPLE_TYPES as readonly string[];
    const type = this.#object.type;
    if (typeof type === "string" && known.includes(type)) return type as SampleType;
    const all = `must be one of ${known.join(", ")}`;
    if (!Object.hasOwn(this.#object, "type")) this.fail("type", `is missing; it ${all}`);
    if (typeof type !== "string") this.fail("type", `${all}, but is ${kindOf(type)}`);
    const guess = nearest(type, known);
    const hint = guess === undefined ? "" : `; did you mean "${guess}"?`;
    return this.fail("type", `${all}, but is ${JSON.stringify(type)}${hint}`);
  }

  /** The value at a path with number texts and key order kept. */
  exact(path: Path): ExactJson {
    let value = this.#exact ??= parseExact(this.#element.text);
    for (const step of path) {
      value = value instanceof Map
        ? value.get(step as string)!
        : (value as ExactJson[])[step as number]!;
    }
    return value;
  }

  text(name: string): string {
    if (!Object.hasOwn(this.#object, name)) this.missing(name);
    return this.textAt(name, this.#object[name]);
  }

  textAt(field: string, value: unknown): string {
    if (typeof value !== "string") this.fail(field, `must be text, but is ${kindOf(value)}`);
    if (!value.isWellFormed()) this.fail(field, "holds half of a surrogate pair (\\ud800-\\udfff)");
    return value;
  }

  ids(name: string, vocabSize: number | undefined, isLabels: boolean): Int32Array {
    const list = this.#object[name];
    if (list === undefined) this.missing(name);
    if (!Array.isArray(list)) this.fail(name, `must be a list of ids, but is ${kindOf(list)}`);
    const limit = vocabSize ?? 2 ** 31;
    const bad = list.findIndex((id) =>
      !(Number.isInteger(id) && id >= 0 && id < limit || isLabels && id === -100)
    );
    if (bad >= 0) {
      const range = vocabSize === undefined
        ? "an id (0 or more)"
        : `an id below the vocabulary size ${vocabSize}`;
      this.fail(
        `${name}[${bad}]`,
        `must be ${range}${isLabels ? " or -100" : ""}, but is ${JSON.stringify(list[bad])}`,
      );
    }
    return Int32Array.from(list);
  }

  rounds(): Round[] {
    const rounds = this.#object.rounds;
    if (rounds === undefined) this.missing("rounds");
    if (!Array.isArray(rounds)) {
      this.fail("rounds", `must be a list of [role, text], but is ${kindOf(rounds)}`);
    }
    return rounds.map((round, i) => this.#round(`rounds[${i}]`, round, i));
  }

  #round(field: string, round: unknown, i: number): Round {
    if (!Array.isArray(round) || round.length !== 2) {
      const found = Array.isArray(round) ? `a list of ${round.length}` : kindOf(round);
      this.fail(field, `must be [role, text], but is ${found}`);
    }
    const [role, content] = round;
    if (role === "ask" || role === "ans") {
      return { role, text: this.textAt(`${field}[1]`, content) };
    }
    if (role !== "ans-api") {
      this.fail(
        `${field}[0]`,
        `must be "ask", "ans" or "ans-api", but is ${JSON.stringify(role)}`,
      );
    }
    if (kindOf(content) !== "an object") {
      this.fail(`${field}[1]`, `must be {"actions", "ans"}, but is ${kindOf(content)}`);
    }
    const { actions, ans } = content;
    if (!Array.isArray(actions)) {
      this.fail(`${field}[1].actions`, `must be a list of api calls, but is ${kindOf(actions)}`);
    }
    return {
      role,
      actions: actions.map((action, j) =>
        this.#action(`${field}[1].actions[${j}]`, action, ["rounds", i, 1, "actions", j])
      ),
      answer: this.textAt(`${field}[1].ans`, ans),
    };
  }

  #action(field: string, action: Record<string, unknown>, path: Path): ApiAction {
    if (kindOf(action) !== "an object") {
      this.fail(field, `must be {"inner_thought", "api_name", "api_param", "api_res"}`);
    }
    if (action.api_res === undefined) this.fail(`${field}.api_res`, "is missing");
    const result = this.exact([...path, "api_res"]);
    const params = this.#params(`${field}.api_param`, action.api_param, [...path, "api_param"]);
    return {
      thought: this.textAt(`${field}.inner_thought`, action.inner_thought),
      name: this.textAt(`${field}.api_name`, action.api_name),
      params,
      result: this.textAt(
        `${field}.api_res`,
        typeof result === "string" ? result : pythonJson(result),
      ),
    };
  }

  /** An object, or the JSON text of one. */
  #params(field: string, value: unknown, path: Path): Map<string, ExactJson> {
    let params: ExactJson | undefined;
    if (typeof value === "string") {
      try {
        params = parseExact(value);
      } catch (cause) {
        const { message } = cause as Error;
        this.fail(
          field,
          `must be an object or its JSON text, but the text is not JSON: ${message}`,
        );
      }
    } else if (value !== undefined) params = this.exact(path);
    if (!(params instanceof Map)) {
      const found = typeof value === "string" ? `the text of ${exactKind(params)}` : kindOf(value);
      this.fail(field, `must be an object or its JSON text, but is ${found}`);
    }
    return params;
  }
}

function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? "text" : `a ${typeof value}`;
}

function exactKind(value: ExactJson | undefined): string {
  return Array.isArray(value) || value === null || typeof value !== "object"
    ? kindOf(value)
    : "a number";
}
