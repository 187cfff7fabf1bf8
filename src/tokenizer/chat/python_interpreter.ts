/**
 * Templates are written for Jinja2, which is Python. `@huggingface/jinja` reads them and has the frame of
 * their evaluation; statements and scopes are as Jinja2 has them, or refused by name and place.
 *
 * @module
 */
import { Environment, Interpreter, parse } from "@huggingface/jinja";
import { ChatError } from "./chat_error.ts";
import { loopAt } from "./python_functions.ts";
import { evaluated, type ExtraFilters, PythonExpressions } from "./python_expressions.ts";
import { iterate, kind, toText, toValue, type Value } from "./python_values.ts";
import type { Token } from "./operator_order.ts";
import { located, readTemplate, type TemplateTokens } from "./template_source.ts";
import { assign, type Node } from "./template_variables.ts";

/** A compiled template: variables to text. */
export type Render = (variables: Iterable<readonly [string, Value]>) => string;

/**
 * Compiles a template with `trim_blocks` and `lstrip_blocks`. What it cannot read or render is an error
 * with the line and the tag.
 *
 * @param filters Filters beside those of Jinja2, from text to text
 * @throws {SyntaxError} If it is broken, or uses a tag or literal that is not known here
 */
export function compileTemplate(source: string, filters: ExtraFilters = new Map()): Render {
  const template = readTemplate(source), program = parseTokens(template);
  return (variables) => {
    const environment = new Environment();
    for (const [name, value] of variables) environment.setVariable(name, value as EngineValue);
    const interpreter = new PythonInterpreter(environment, filters);
    try {
      return String(interpreter.run(program).value);
    } catch (cause) {
      const place = template.places[interpreter.place];
      throw cause instanceof ChatError || place === undefined ? cause : located(place, cause);
    }
  };
}

/** Tags of Jinja2 that are not known here, and what to write instead. */
const OTHER_TAGS: Readonly<Record<string, string>> = {
  autoescape: "nothing is escaped here: take it away",
  block: "take it away, and leave what is in it",
  extends: "write the whole template into this one",
  from: "write the macro into this template",
  import: "write the macros into this template",
  include: "write the text into this template",
  with: "use {% set %}",
};

function parseTokens({ tokens, places }: TemplateTokens): Parameters<Interpreter["run"]>[0] {
  try {
    return parse(tokens as EngineTokens);
  } catch (cause) {
    const last = lastRead(tokens);
    const at = tokens.slice(0, last + 1).findLast(({ type }) => type === "Comment")?.value;
    const value = tokens[last]?.value ?? "";
    let message = `cannot read ${JSON.stringify(value)} here`;
    if (last === tokens.length) message = "the template ends before the block does";
    else if (tokens[last - 1]?.type === "OpenStatement") {
      const hint = OTHER_TAGS[value];
      message = hint
        ? `the tag ${value} is not supported: ${hint}`
        : `there is no tag ${value} here`;
    } else if (value === "recursive") {
      message = "a recursive loop is not supported: use a macro that calls itself";
    }
    throw located(places[Number(at ?? 0)]!, new SyntaxError(message, { cause }));
  }
}

type EngineValue = ReturnType<Interpreter["evaluate"]>;
type EngineNode = Parameters<Interpreter["evaluate"]>[0];
type EngineTokens = Parameters<typeof parse>[0];

/** Index of the token at which the parser fails. */
function lastRead(tokens: Token[]): number {
  let last = 0;
  const watched = new Proxy(tokens, {
    get(target, key) {
      if (typeof key === "string" && Number(key) > last) last = Number(key);
      return Reflect.get(target, key);
    },
  });
  try {
    parse(watched as EngineTokens);
  } catch {
    // it fails again
  }
  return last;
}

/** Evaluates templates as Jinja2 does. */
class PythonInterpreter extends Interpreter {
  readonly #extra: ExtraFilters;
  readonly #expressions: PythonExpressions;
  /** Index of the place of the tag that is evaluated. */
  place = 0;

  /** Begins with the variables of a template. */
  constructor(environment: Environment, extra: ExtraFilters) {
    super(environment);
    this.#extra = extra;
    const byEngine = (node: unknown, scope: unknown) =>
      super.evaluate(node as EngineNode, scope as Environment) as Value;
    this.#expressions = new PythonExpressions(extra, byEngine);
    // every body comes here, and it must know which of its parts are printed
    Object.assign(this, {
      evaluateBlock: (body: Node[], scope: Environment) => toValue(this.#block(body, scope)),
    });
  }

  override evaluate(node: EngineNode, scope: Environment): EngineValue {
    return this.#value(node as unknown as Node, scope) as EngineValue;
  }

  #value(node: Node, scope: Environment): Value {
    switch (node?.type) {
      case "Break":
      case "Continue":
        throw new Jump(node.type === "Break");
      case "For":
        return toValue(this.#loop(node, scope));
      case "If": {
        const branch = this.#expressions.isTrue(node["test"], scope) ? "body" : "alternate";
        return toValue(this.#block(node[branch] as Node[], scope));
      }
      case "Set":
        return this.#set(node, scope);
      case "Macro":
        return this.#macro(node, scope);
      case "FilterStatement": {
        const body = () => this.#block(node["body"] as Node[], new Environment(scope));
        const isOwn = this.#extra.has((node["filter"] as Node)["value"] as string);
        const operand = evaluated(toValue(isOwn ? outsideLoops(body) : body()));
        const filtered = this.#expressions.filter({ filter: node["filter"], operand }, scope);
        if (filtered.type === "StringValue") return filtered;
        throw new TypeError(`a filter block cannot be ${kind(filtered)}`);
      }
    }
    return this.#expressions.value(node, scope);
  }

  #block(body: readonly Node[], scope: Environment): string {
    let text = "";
    const place = this.place;
    for (const node of body) {
      if (node.type === "Comment") {
        this.place = Number(node["value"]);
        continue;
      }
      try {
        const value = this.#value(node, scope);
        text += PRINTS_NOTHING.has(node.type) ? "" : toText(value);
      } catch (error) {
        if (error instanceof Jump && !OWN_TEXT.has(node.type)) error.text = text + error.text;
        else if (error instanceof Jump) error.text = text;
        throw error;
      }
    }
    this.place = place;
    return text;
  }

  /** What a loop sets is forgotten at the end of each turn. */
  #loop(node: Node, scope: Environment): string {
    const iterable = node["iterable"] as Node, isFiltered = iterable.type === "SelectExpression";
    const source = iterate(this.#expressions.value(isFiltered ? iterable["lhs"] : iterable, scope));
    const inScope = (item: Value) => {
      const inner = new Environment(scope);
      assign(node["loopvar"] as Node, item, inner);
      return inner;
    };
    const isNamespace = (name: string) =>
      (scope.lookupVariable(name) as Value).type === "NamespaceValue";
    if (isFiltered && mentions(iterable["test"], isNamespace)) {
      // Jinja2 asks it at each turn, here all are asked at the begin
      throw new SyntaxError("a condition of a loop that reads a namespace is not supported");
    }
    const items = isFiltered
      ? source.filter((item) => this.#expressions.isTrue(iterable["test"], inScope(item)))
      : source;
    const defaults = new Environment(scope), last = {};
    if (items.length === 0) return this.#block(node["defaultBlock"] as Node[], defaults);
    let text = "";
    for (const [i, item] of items.entries()) {
      const inner = inScope(item);
      inner.setVariable("loop", loopAt(items, i, last) as EngineValue);
      try {
        text += this.#block(node["body"] as Node[], inner);
      } catch (error) {
        if (!(error instanceof Jump)) throw error;
        text += error.text;
        if (error.leaves) break;
      }
    }
    return text;
  }

  #set(node: Node, scope: Environment): Value {
    const value = node["value"] === null
      ? toValue(this.#block(node["body"] as Node[], new Environment(scope)))
      : this.#expressions.value(node["value"], scope);
    let target = node["assignee"] as Node;
    const filters: Node[] = []; // of {% set name | filter %}
    for (; target.type === "FilterExpression"; target = target["operand"] as Node) {
      filters.unshift(target);
    }
    if (filters.length > 0 && node["value"] !== null) {
      throw new SyntaxError("cannot assign to a filter");
    }
    const filtered = filters.reduce(
      (operand, { filter }) =>
        this.#expressions.filter({ filter, operand: evaluated(operand) }, scope),
      value,
    );
    assign(target, filtered, scope);
    return toValue(null);
  }

  /** A macro sees the variables of where it stands, not of where it is called. */
  #macro(node: Node, scope: Environment): Value {
    super.evaluate(node as unknown as EngineNode, scope);
    const macro = scope.lookupVariable((node["name"] as Node)["value"] as string) as unknown as {
      value: (args: Value[], caller: Environment) => Value;
    };
    const run = macro.value, callsBack = mentions(node["body"], (name) => name === "caller");
    macro.value = (args, from) => {
      const outside = new Environment(scope), caller = from.variables.get("caller");
      if (caller !== undefined && !callsBack) {
        throw new TypeError("the macro does not use its caller");
      }
      if (caller !== undefined) outside.setVariable("caller", caller);
      return outsideLoops(() => run(args, outside));
    };
    return toValue(null);
  }
}

const PRINTS_NOTHING = new Set(["Set", "Macro"]);
/** Their text is theirs until they end, so what leaves a loop inside of them loses it. */
const OWN_TEXT = new Set(["Set", "FilterStatement"]);

/** `break` or `continue` on its way to the loop. */
class Jump extends Error {
  /** What the body wrote before: it stays. */
  text = "";
  /** Whether it is a break. */
  readonly leaves: boolean;
  constructor(leaves: boolean) {
    super("break or continue outside of a loop");
    this.leaves = leaves;
  }
}

/** A body that is a function in Jinja2: no loop outside can be left from there. */
function outsideLoops<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Jump) throw new SyntaxError(error.message);
    throw error;
  }
}

/** Whether a part of a template has a name in it. */
function mentions(part: unknown, isWanted: (name: string) => boolean): boolean {
  if (typeof part !== "object" || part === null) return false;
  const { type, value } = part as Node;
  if (type === "Identifier") return isWanted(value as string);
  const parts = part instanceof Map ? [...part].flat() : Object.values(part);
  return parts.some((inner) => mentions(inner, isWanted));
}
