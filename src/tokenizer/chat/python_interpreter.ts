/**
 * Templates are written for Jinja2, which is Python. Where `@huggingface/jinja` gives another text, or
 * gives one where Jinja2 refuses, the evaluation of the node is replaced here.
 *
 * @module
 */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import {
  capitalize,
  entriesOf,
  equals,
  fromJson,
  itemsOf,
  strip,
  title,
  toText,
  toValue,
  type Value,
  withFloatTexts,
} from "./python_values.ts";

/** A node of a parsed template; which fields it has depends on its type. */
interface Node {
  type: string;
  [field: string]: unknown;
}

/** Variables that samples give. */
const FROM_JSON = new Set(["messages", "tools"]);

/** Stands for a node that is evaluated already. */
const EVALUATED = "Evaluated";

/** A compiled template: variables to text. */
export type Render = (variables: Readonly<Record<string, unknown>>) => string;

/**
 * Compiles a template with `trim_blocks` and `lstrip_blocks`.
 *
 * @throws {SyntaxError} If it is broken
 */
export function compileTemplate(source: string): Render {
  const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  return (variables) => {
    const environment = new Environment();
    for (const [name, value] of Object.entries(variables)) {
      if (FROM_JSON.has(name)) environment.setVariable(name, fromJson(value) as EngineValue);
      else environment.set(name, value);
    }
    return String(new PythonInterpreter(environment).run(program).value);
  };
}

type EngineNode = Parameters<Interpreter["evaluate"]>[0];
type EngineValue = ReturnType<Interpreter["evaluate"]>;

/** Evaluates templates as Jinja2 does. */
class PythonInterpreter extends Interpreter {
  /** Begins with the variables of a template. */
  constructor(environment: Environment) {
    super(environment);
    // every body comes here, and it must know which of its parts are printed
    Object.assign(this, {
      evaluateBlock: (body: Node[], scope: Environment) => toValue(this.#block(body, scope)),
    });
  }

  override evaluate(
    statement: EngineNode,
    scope: Environment,
  ): EngineValue {
    return this.#evaluate(statement, scope) as EngineValue;
  }

  #evaluate(statement: EngineNode, scope: Environment): Value {
    const node = statement as Node | undefined;
    switch (node?.type) {
      case EVALUATED:
        return node["value"] as Value;
      case "Break":
      case "Continue":
        throw new Jump(node.type === "Break");
      case "For":
        return toValue(this.#loop(node, scope));
      case "BinaryExpression":
        return this.#binary(node, scope);
      case "MemberExpression":
        return this.#member(node, scope);
      case "CallExpression":
        return this.#method(node, scope) ?? super.evaluate(statement, scope);
      case "FilterExpression":
        return this.#filter(node, scope);
    }
    return super.evaluate(statement, scope);
  }

  #value(node: unknown, scope: Environment): Value {
    return this.#evaluate(node as EngineNode, scope);
  }

  /** The node with some of its parts evaluated, by the engine's own rules. */
  #original(node: Node, values: Record<string, Value>, scope: Environment): Value {
    const parts = Object.entries(values).map(([name, value]) => [name, evaluated(value)]);
    const copy = Object.assign(Object.create(Object.getPrototypeOf(node)), node);
    return super.evaluate(Object.assign(copy, Object.fromEntries(parts)), scope);
  }

  #block(body: readonly Node[], scope: Environment): string {
    let text = "";
    for (const node of body) {
      try {
        const value = this.#value(node, scope);
        text += PRINTS_NOTHING.has(node.type) ? "" : toText(value);
      } catch (error) {
        if (error instanceof Jump) error.text = text + error.text;
        throw error;
      }
    }
    return text;
  }

  /** What a loop sets is forgotten at the end of each turn. */
  #loop(node: Node, scope: Environment): string {
    const iterable = node["iterable"] as Node, isFiltered = iterable.type === "SelectExpression";
    const source = this.#value(isFiltered ? iterable["lhs"] : iterable, scope);
    const inScope = (item: Value) => {
      const inner = new Environment(scope);
      assign(node["loopvar"] as Node, item, inner);
      return inner;
    };
    const items = iterate(source).filter((item) =>
      !isFiltered || this.#value(iterable["test"], inScope(item)).__bool__().value
    );
    if (items.length === 0) return this.#block(node["defaultBlock"] as Node[], scope);
    let text = "";
    for (const [i, item] of items.entries()) {
      const inner = inScope(item);
      inner.setVariable("loop", loopValue(items, i) as EngineValue);
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

  #binary(node: Node, scope: Environment): Value {
    const operator = (node["operator"] as { value: string }).value;
    const left = this.#value(node["left"], scope);
    if (operator === "and" || operator === "or") {
      const decides = left.__bool__().value === (operator === "or");
      return decides ? left : this.#value(node["right"], scope);
    }
    const right = this.#value(node["right"], scope);
    switch (operator) {
      case "==":
        return toValue(equals(left, right));
      case "!=":
        return toValue(!equals(left, right));
      case "~":
        return toValue(toText(left) + toText(right));
      case "in":
      case "not in": {
        const items = itemsOf(right);
        if (items === undefined) break;
        return toValue(items.some((item) => equals(item, left)) === (operator === "in"));
      }
      case "+":
        if ((left.type === "StringValue") !== (right.type === "StringValue")) {
          throw new TypeError(`cannot add ${kind(left)} and ${kind(right)}`);
        }
        break;
      case "*":
        if (left.type === "StringValue" && right.type === "IntegerValue") {
          return toValue((left.value as string).repeat(Math.max(0, right.value as number)));
        }
        break;
      case "%":
        if (left.type === "IntegerValue" && right.type === "IntegerValue") {
          const a = left.value as number, b = right.value as number;
          return toValue(a - b * Math.floor(a / b));
        }
    }
    return this.#original(node, { left, right }, scope);
  }

  #member(node: Node, scope: Environment): Value {
    const object = this.#value(node["object"], scope);
    if (object.type === "UndefinedValue") {
      throw new TypeError(`${nameOf(node["object"] as Node)} is undefined`);
    }
    return this.#original(node, { object }, scope);
  }

  /** Calls of the methods of strings that the engine has otherwise. */
  #method(node: Node, scope: Environment): Value | undefined {
    const callee = node["callee"] as Node,
      name = (callee["property"] as Node | undefined)?.["value"];
    if (callee.type !== "MemberExpression" || callee["computed"] || !METHODS.has(String(name))) {
      return;
    }
    const object = this.#value(callee["object"], scope);
    if (object.type !== "StringValue") return;
    const text = object.value as string;
    if (name === "title") return toValue(title(text));
    if (name === "capitalize") return toValue(capitalize(text));
    const [characters] = this.#arguments(node, scope);
    return toValue(strip(text, name as "strip", characters));
  }

  #filter(node: Node, scope: Environment): Value {
    const filter = node["filter"] as Node;
    const name = String(
      (filter.type === "CallExpression" ? filter["callee"] as Node : filter).value,
    );
    const operand = this.#value(node["operand"], scope);
    switch (name) {
      case "trim":
        return toValue(strip(toText(operand), "strip", this.#arguments(filter, scope)[0]));
      case "tojson":
        return this.#original(node, { operand: withFloatTexts(operand) }, scope);
      case "string":
        return toValue(toText(operand));
      case "title":
        return toValue(title(toText(operand)));
      case "capitalize":
        return toValue(capitalize(toText(operand)));
      case "upper":
        return toValue(toText(operand).toUpperCase());
      case "lower":
        return toValue(toText(operand).toLowerCase());
      case "selectattr":
      case "rejectattr":
        return this.#select(operand, filter, name === "selectattr", scope);
      case "list":
        if (operand.type === "StringValue") return toValue([...operand.value as string]);
    }
    return this.#original(node, { operand }, scope);
  }

  #select(list: Value, filter: Node, keeps: boolean, scope: Environment): Value {
    const given = filter["args"] as Node[];
    const [attribute, test, other] = given.map((node) => this.#value(node, scope));
    const passes = (value: Value) => {
      if (test === undefined) return value.__bool__().value;
      const name = toText(test);
      if (/^(eq|equalto|==)$/.test(name)) return equals(value, other!);
      if (name === "ne" || name === "!=") return !equals(value, other!);
      if (name === "in") return itemsOf(other!)?.some((item) => equals(item, value)) ?? false;
      const known = scope.tests.get(name);
      if (known === undefined) throw new TypeError(`there is no test ${name}`);
      return known(value as EngineValue);
    };
    const out = toValue([]);
    const chosen = iterate(list).filter((item) => {
      let value: Value | undefined = item;
      for (const key of toText(attribute!).split(".")) value = value && entriesOf(value)?.get(key);
      return passes(value ?? toValue(undefined)) === keeps;
    });
    (out.value as Value[]).push(...chosen);
    return out;
  }

  /** Texts of the arguments of a call. */
  #arguments(call: Node, scope: Environment): string[] {
    const nodes = (call["args"] as Node[] | undefined) ?? [];
    return nodes.filter((node) => node.type !== "KeywordArgumentExpression")
      .map((node) => toText(this.#value(node, scope)));
  }
}

const PRINTS_NOTHING = new Set(["Set", "Macro", "Comment"]);
const METHODS = new Set(["strip", "lstrip", "rstrip", "title", "capitalize"]);

/** `break` or `continue` on its way to the loop. */
class Jump extends Error {
  /** What the body wrote before: it stays. */
  text = "";
  /** Whether it is a break. */
  readonly leaves: boolean;
  constructor(leaves: boolean) {
    super();
    this.leaves = leaves;
  }
}

function evaluated(value: Value): Node {
  return { type: EVALUATED, value };
}

function iterate(source: Value): readonly Value[] {
  const items = itemsOf(source), entries = entriesOf(source);
  if (items) return items;
  if (entries) return [...entries.keys()].map(toValue);
  if (source.type === "StringValue") return [...source.value as string].map(toValue);
  if (source.type === "UndefinedValue") return [];
  throw new TypeError(`cannot go through ${kind(source)}`);
}

function assign(target: Node, item: Value, scope: Environment): void {
  if (target.type === "Identifier") {
    return void scope.setVariable(target["value"] as string, item as EngineValue);
  }
  const targets = target["value"] as Node[], items = itemsOf(item);
  if (items?.length !== targets.length) {
    throw new TypeError(`cannot take ${kind(item)} apart into ${targets.length}`);
  }
  targets.forEach((t, i) => assign(t, items[i]!, scope));
}

function loopValue(items: readonly Value[], i: number): Value {
  const { length } = items;
  const loop = toValue({
    index: i + 1,
    index0: i,
    revindex: length - i,
    revindex0: length - i - 1,
    first: i === 0,
    last: i === length - 1,
    length,
    cycle: (...values: unknown[]) => values[i % values.length],
  });
  const fields = loop.value as Map<string, Value>;
  fields.set("previtem", items[i - 1] ?? toValue(undefined));
  fields.set("nextitem", items[i + 1] ?? toValue(undefined));
  return loop;
}

function kind({ type }: Value): string {
  return type.replace("Value", "").toLowerCase();
}

function nameOf(node: Node): string {
  if (node.type !== "MemberExpression") return String(node["value"] ?? "a value");
  const property = (node["property"] as Node)["value"];
  return `${nameOf(node["object"] as Node)}[${JSON.stringify(property)}]`;
}
