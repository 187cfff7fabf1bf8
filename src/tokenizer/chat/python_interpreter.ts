/**
 * Templates are written for Jinja2, which is Python. `@huggingface/jinja` reads them and has the frame of
 * their evaluation; values, operators, scopes, filters, tests and methods are as Python has them, or
 * refused by name.
 *
 * @module
 */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import type { Given } from "./arguments.ts";
import { mapItems, selectItems } from "./item_filters.ts";
import { inOrder } from "./operator_order.ts";
import { FILTERS, isTrue, OTHER_FILTERS } from "./filters.ts";
import { callMethod, FUNCTIONS, loopAt, OTHER_FUNCTIONS } from "./python_functions.ts";
import { itemAt, operate, operateOnOne, sliceOf } from "./python_operators.ts";
import {
  entriesOf,
  functionOf,
  isSafe,
  iterate,
  kind,
  toText,
  toValue,
  tupleOf,
  type Value,
} from "./python_values.ts";
import { withoutSpaceControl } from "./template_source.ts";
import { assign, CONSTANTS, memberOf, type Node } from "./template_variables.ts";
import { passes } from "./value_tests.ts";

/** Stands for a node that is evaluated already. */
const EVALUATED = "Evaluated";

/** A compiled template: variables to text. */
export type Render = (variables: Iterable<readonly [string, Value]>) => string;

/**
 * Compiles a template with `trim_blocks` and `lstrip_blocks`.
 *
 * @param filters Filters beside those of Jinja2, from text to text
 * @throws {SyntaxError} If it is broken, or uses a tag or literal that is not known here
 */
export function compileTemplate(
  source: string,
  filters: ReadonlyMap<string, (text: string) => string> = new Map(),
): Render {
  const program = parse(inOrder(tokenize(withoutSpaceControl(source))));
  return (variables) => {
    const environment = new Environment();
    for (const [name, value] of variables) environment.setVariable(name, value as EngineValue);
    return String(new PythonInterpreter(environment, filters).run(program).value);
  };
}

type EngineValue = ReturnType<Interpreter["evaluate"]>;
type EngineNode = Parameters<Interpreter["evaluate"]>[0];

/** Evaluates templates as Jinja2 does. */
class PythonInterpreter extends Interpreter {
  readonly #extra: ReadonlyMap<string, (text: string) => string>;

  /** Begins with the variables of a template. */
  constructor(environment: Environment, extra: ReadonlyMap<string, (text: string) => string>) {
    super(environment);
    this.#extra = extra;
    // every body comes here, and it must know which of its parts are printed
    Object.assign(this, {
      evaluateBlock: (body: Node[], scope: Environment) => toValue(this.#block(body, scope)),
    });
  }

  override evaluate(statement: EngineNode, scope: Environment): EngineValue {
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
      case "If":
        return toValue(
          this.#block(
            node[this.#isTrue(node["test"], scope) ? "body" : "alternate"] as Node[],
            scope,
          ),
        );
      case "Ternary":
        return this.#value(
          node[this.#isTrue(node["condition"], scope) ? "trueExpr" : "falseExpr"],
          scope,
        );
      case "SelectExpression":
        return this.#isTrue(node["test"], scope)
          ? this.#value(node["lhs"], scope)
          : toValue(undefined);
      case "Set":
        return this.#set(node, scope);
      case "Macro":
        return this.#macro(node, scope);
      case "FilterStatement": {
        const body = () => this.#block(node["body"] as Node[], new Environment(scope));
        const isOwn = this.#extra.has((node["filter"] as Node)["value"] as string);
        const operand = evaluated(toValue(isOwn ? outsideLoops(body) : body()));
        const filtered = this.#filter({ filter: node["filter"], operand }, scope);
        if (filtered.type === "StringValue") return filtered;
        throw new TypeError(`a filter block cannot be ${kind(filtered)}`);
      }
      case "Identifier":
        return this.#name(node["value"] as string, scope);
      case "UnaryExpression": {
        const { value: operator } = node["operator"] as { value: string };
        return operateOnOne(operator, this.#value(node["argument"], scope));
      }
      case "BinaryExpression":
        return this.#binary(node, scope);
      case "MemberExpression":
        return this.#member(node, scope);
      case "CallExpression":
        return this.#call(node, scope);
      case "FilterExpression":
        return this.#filter(node, scope);
      case "TestExpression":
        return this.#test(node, scope);
    }
    return super.evaluate(statement, scope);
  }

  #value(node: unknown, scope: Environment): Value {
    return this.#evaluate(node as EngineNode, scope);
  }

  #isTrue(node: unknown, scope: Environment): boolean {
    return isTrue(this.#value(node, scope));
  }

  #block(body: readonly Node[], scope: Environment): string {
    let text = "";
    for (const node of body) {
      try {
        const value = this.#value(node, scope);
        text += PRINTS_NOTHING.has(node.type) ? "" : toText(value);
      } catch (error) {
        if (error instanceof Jump && !OWN_TEXT.has(node.type)) error.text = text + error.text;
        else if (error instanceof Jump) error.text = text;
        throw error;
      }
    }
    return text;
  }

  /** What a loop sets is forgotten at the end of each turn. */
  #loop(node: Node, scope: Environment): string {
    const iterable = node["iterable"] as Node, isFiltered = iterable.type === "SelectExpression";
    const source = iterate(this.#value(isFiltered ? iterable["lhs"] : iterable, scope));
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
      ? source.filter((item) => this.#isTrue(iterable["test"], inScope(item)))
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
      : this.#value(node["value"], scope);
    let target = node["assignee"] as Node;
    const filters: Node[] = []; // of {% set name | filter %}
    for (; target.type === "FilterExpression"; target = target["operand"] as Node) {
      filters.unshift(target);
    }
    if (filters.length > 0 && node["value"] !== null) {
      throw new SyntaxError("cannot assign to a filter");
    }
    const filtered = filters.reduce(
      (operand, { filter }) => this.#filter({ filter, operand: evaluated(operand) }, scope),
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

  #name(name: string, scope: Environment): Value {
    const constant = CONSTANTS.get(name);
    if (constant !== undefined) return toValue(constant);
    const value = scope.lookupVariable(name) as Value;
    if (name === "varargs" && value.type === "ArrayValue") return tupleOf(iterate(value));
    if (value.type !== "UndefinedValue") return value;
    const known = FUNCTIONS.get(name);
    if (known !== undefined) return functionOf((args) => known({ args, keywords: new Map() }));
    if (OTHER_FUNCTIONS.includes(name)) {
      throw new SyntaxError(`the function ${name} is not supported here`);
    }
    return value;
  }

  #binary(node: Node, scope: Environment): Value {
    const operator = (node["operator"] as { value: string }).value;
    const left = this.#value(node["left"], scope);
    if (operator === "and" || operator === "or") {
      return isTrue(left) === (operator === "or") ? left : this.#value(node["right"], scope);
    }
    return operate(operator, left, this.#value(node["right"], scope));
  }

  #member(node: Node, scope: Environment): Value {
    const object = this.#value(node["object"], scope), property = node["property"] as Node;
    if (object.type === "UndefinedValue") {
      throw new TypeError(`${nameOf(node["object"] as Node)} is undefined`);
    }
    if (property.type === "SliceExpression") {
      const bounds = ["start", "stop", "step"].map((bound) => this.#bound(property[bound], scope));
      return sliceOf(object, bounds);
    }
    const isName = !node["computed"] && property.type === "Identifier";
    const key = isName ? toValue(property["value"]) : this.#value(property, scope);
    if (/^(Integer|Boolean)Value$/.test(key.type)) {
      if (object.type === "range") throw new SyntaxError("an item of a range is not supported");
      return itemAt(object, Number(key.value)) ?? toValue(undefined);
    }
    if (key.type !== "StringValue") return toValue(undefined);
    return memberOf(object, key.value as string, isName);
  }

  #bound(node: unknown, scope: Environment): number | undefined {
    if (node === undefined) return undefined;
    const { type, value } = this.#value(node, scope);
    if (type === "NullValue") return undefined;
    if (/^(Integer|Boolean)Value$/.test(type)) return Number(value);
    throw new TypeError("slice indices must be integers or None");
  }

  #call(node: Node, scope: Environment): Value {
    const callee = node["callee"] as Node;
    if (callee.type === "MemberExpression" && !callee["computed"]) {
      const name = (callee["property"] as Node)["value"] as string;
      const object = this.#value(callee["object"], scope);
      if (object.type === "UndefinedValue") {
        throw new TypeError(`${nameOf(callee["object"] as Node)} is undefined`);
      }
      const result = callMethod(object, name, this.#arguments(node, scope));
      if (result !== undefined) return result;
      const field = memberOf(object, name, true);
      if (field.type !== "FunctionValue") {
        throw new SyntaxError(`the method ${name} of ${kind(object)} is not supported`);
      }
      return super.evaluate({ ...node, callee: evaluated(field) } as unknown as EngineNode, scope);
    }
    if (callee.type === "Identifier") {
      const name = callee["value"] as string, known = FUNCTIONS.get(name);
      const isOwn = scope.lookupVariable(name).type === "UndefinedValue";
      if (known !== undefined && isOwn) return known(this.#arguments(node, scope));
    }
    const value = evaluated(this.#value(callee, scope));
    return super.evaluate({ ...node, callee: value } as unknown as EngineNode, scope);
  }

  #filter(node: Pick<Node, string>, scope: Environment): Value {
    const filter = node["filter"] as Node;
    const name = String(
      (filter.type === "CallExpression" ? filter["callee"] as Node : filter)["value"],
    );
    return this.#apply(name, this.#value(node["operand"], scope), this.#arguments(filter, scope));
  }

  #apply(name: string, operand: Value, given: Given): Value {
    const extra = this.#extra.get(name);
    if (extra !== undefined) return toValue(extra(toText(operand)));
    if (isSafe(operand) && !KEEPS_SAFE.has(name)) {
      throw new SyntaxError(`the filter ${name} of a text that is marked as safe is not supported`);
    }
    switch (name) {
      case "map":
        return mapItems(operand, given, (...args) => this.#apply(...args));
      case "select":
      case "reject":
      case "selectattr":
      case "rejectattr":
        return selectItems(name, operand, given);
    }
    const known = FILTERS.get(name);
    if (known !== undefined) return known(operand, given);
    throw new SyntaxError(
      `the filter ${name} is not ${OTHER_FILTERS.has(name) ? "supported" : "known"}`,
    );
  }

  #test(node: Node, scope: Environment): Value {
    const operand = node["operand"] as Node, name = (node["test"] as Node)["value"] as string;
    if (operand.type === "TestExpression") {
      throw new SyntaxError("a test of a test is not supported");
    }
    return toValue(passes(name, this.#value(operand, scope)) !== node["negate"]);
  }

  #arguments(call: Node, scope: Environment): Given {
    const args: Value[] = [], keywords = new Map<string, Value>();
    for (const node of (call["args"] as Node[] | undefined) ?? []) {
      if (node.type === "KeywordArgumentExpression") {
        keywords.set((node["key"] as Node)["value"] as string, this.#value(node["value"], scope));
      } else if (node.type === "SpreadExpression") {
        args.push(...iterate(this.#value(node["argument"], scope)));
      } else if (node.type === "KeywordSpreadExpression") {
        const dict = this.#value(node["argument"], scope);
        if (dict.type !== "ObjectValue") throw new TypeError("what follows ** must be a dict");
        for (const [name, value] of entriesOf(dict)!) keywords.set(name, value);
      } else args.push(this.#value(node, scope));
    }
    return { args, keywords };
  }
}

const PRINTS_NOTHING = new Set(["Set", "Macro", "Comment"]);
/** Their text is theirs until they end, so what leaves a loop inside of them loses it. */
const OWN_TEXT = new Set(["Set", "FilterStatement"]);
const KEEPS_SAFE = new Set(["default", "length", "replace", "safe", "string", "tojson"]);

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

/** A body that is a function in Jinja2: no loop outside can be left from there. */
function outsideLoops<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Jump) throw new SyntaxError("break or continue outside of a loop");
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

function nameOf(node: Node): string {
  if (node.type !== "MemberExpression") return String(node["value"] ?? "a value");
  const property = (node["property"] as Node)["value"];
  return `${nameOf(node["object"] as Node)}[${JSON.stringify(property)}]`;
}
