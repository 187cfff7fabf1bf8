/**
 * What expressions of templates give. `@huggingface/jinja` reads them; values, operators, filters, tests
 * and methods are as Python has them, or refused by name.
 *
 * @module
 */
import { bind, type Given } from "./arguments.ts";
import { FILTERS, OTHER_FILTERS } from "./filters.ts";
import { mapItems, selectItems } from "./item_filters.ts";
import { percentFormat } from "./percent_format.ts";
import { callMethod, FUNCTIONS, OTHER_FUNCTIONS } from "./python_functions.ts";
import { itemAt, operate, operateOnOne, sliceOf } from "./python_operators.ts";
import {
  dictOf,
  entriesOf,
  functionOf,
  isSafe,
  isTrue,
  iterate,
  keyOf,
  kind,
  toText,
  toValue,
  tupleOf,
  type Value,
} from "./python_values.ts";
import { CONSTANTS, memberOf, type Node, type Scope } from "./template_variables.ts";
import { IS, IS_NOT } from "./test_tokens.ts";
import { passes } from "./value_tests.ts";

/** Stands for a node that is evaluated already. */
const EVALUATED = "Evaluated";

/** Filters beside those of Jinja2, from text to text. */
export type ExtraFilters = ReadonlyMap<string, (text: string) => string>;

/** The value of a node as the engine has it. */
export type EngineEvaluate = (node: unknown, scope: Scope) => Value;

/** Evaluates expressions as Jinja2 does. */
export class PythonExpressions {
  readonly #extra: ExtraFilters;
  readonly #evaluateByEngine: EngineEvaluate;

  /**
   * Makes an evaluator.
   *
   * @param extra Filters of this template alone
   * @param evaluateByEngine For literals and calls of macros, which the engine has as Jinja2 does
   */
  constructor(extra: ExtraFilters, evaluateByEngine: EngineEvaluate) {
    this.#extra = extra;
    this.#evaluateByEngine = evaluateByEngine;
  }

  /** The value of a node. */
  value(part: unknown, scope: Scope): Value {
    const node = part as Node | undefined;
    switch (node?.type) {
      case EVALUATED:
        return node["value"] as Value;
      case "Ternary":
        return this.value(
          node[this.isTrue(node["condition"], scope) ? "trueExpr" : "falseExpr"],
          scope,
        );
      case "SelectExpression":
        return this.isTrue(node["test"], scope)
          ? this.value(node["lhs"], scope)
          : toValue(undefined);
      case "Identifier":
        return this.#name(node["value"] as string, scope);
      case "UnaryExpression": {
        const { value: operator } = node["operator"] as { value: string };
        return operateOnOne(operator, this.value(node["argument"], scope));
      }
      case "BinaryExpression":
        return this.#binary(node, scope);
      case "MemberExpression":
        return this.#member(node, scope);
      case "CallExpression":
        return this.#call(node, scope);
      case "ObjectLiteral":
        return dictOf([...node["value"] as Map<Node, Node>].map(([k, v]) => {
          const key = this.value(k, scope);
          if (key.type !== "StringValue" && key.type !== "IntegerValue") {
            throw new SyntaxError(`${kind(key)} as the key of a dict is not supported`);
          }
          return [key.value as string | number, this.value(v, scope)] as const;
        }));
      case "FilterExpression":
        return this.filter(node, scope);
    }
    return this.#evaluateByEngine(part, scope);
  }

  /** The truth of a node. */
  isTrue(node: unknown, scope: Scope): boolean {
    return isTrue(this.value(node, scope));
  }

  #name(name: string, scope: Scope): Value {
    const constant = CONSTANTS.get(name);
    if (constant !== undefined) return toValue(constant);
    const value = scope.lookupVariable(name);
    if (name === "varargs" && value.type === "ArrayValue") return tupleOf(iterate(value));
    if (value.type !== "UndefinedValue") return value;
    const known = FUNCTION_VALUES.get(name);
    if (known !== undefined) return known;
    if (OTHER_FUNCTIONS.includes(name)) {
      throw new SyntaxError(`the function ${name} is not supported here`);
    }
    return value;
  }

  #binary(node: Node, scope: Scope): Value {
    const operator = (node["operator"] as { value: string }).value;
    const left = this.value(node["left"], scope);
    if (operator === "and" || operator === "or") {
      return isTrue(left) === (operator === "or") ? left : this.value(node["right"], scope);
    }
    return operate(operator, left, this.value(node["right"], scope));
  }

  #member(node: Node, scope: Scope): Value {
    const object = this.value(node["object"], scope), property = node["property"] as Node;
    if (object.type === "UndefinedValue") {
      throw new TypeError(`${nameOf(node["object"] as Node)} is undefined`);
    }
    if (property.type === "SliceExpression") {
      const bounds = ["start", "stop", "step"].map((bound) => this.#bound(property[bound], scope));
      return sliceOf(object, bounds);
    }
    const isName = !node["computed"] && property.type === "Identifier";
    const key = isName ? toValue(property["value"]) : this.value(property, scope);
    if (object.type === "ObjectValue" && key.type !== "StringValue") {
      return entriesOf(object)!.get(keyOf(key) ?? NaN) ?? toValue(undefined);
    }
    if (/^(Integer|Boolean)Value$/.test(key.type)) {
      if (object.type === "range") throw new SyntaxError("an item of a range is not supported");
      return itemAt(object, Number(key.value)) ?? toValue(undefined);
    }
    if (key.type !== "StringValue") return toValue(undefined);
    return memberOf(object, key.value as string, isName);
  }

  #bound(node: unknown, scope: Scope): number | undefined {
    if (node === undefined) return undefined;
    const { type, value } = this.value(node, scope);
    if (type === "NullValue") return undefined;
    if (/^(Integer|Boolean)Value$/.test(type)) return Number(value);
    throw new TypeError("slice indices must be integers or None");
  }

  #call(node: Node, scope: Scope): Value {
    const callee = node["callee"] as Node;
    if (callee.type === "MemberExpression" && !callee["computed"]) {
      const name = (callee["property"] as Node)["value"] as string;
      const object = this.value(callee["object"], scope);
      if (object.type === "UndefinedValue") {
        throw new TypeError(`${nameOf(callee["object"] as Node)} is undefined`);
      }
      const result = callMethod(object, name, this.#arguments(node, scope));
      if (result !== undefined) return result;
      const field = memberOf(object, name, true);
      if (field.type !== "FunctionValue") {
        throw new SyntaxError(`the method ${name} of ${kind(object)} is not supported`);
      }
      return this.#evaluateByEngine({ ...node, callee: evaluated(field) }, scope);
    }
    if (callee.type === "Identifier") {
      const name = callee["value"] as string, known = FUNCTIONS.get(name);
      const isOwn = scope.lookupVariable(name).type === "UndefinedValue";
      if (known !== undefined && isOwn) return known(this.#arguments(node, scope));
    }
    const value = evaluated(this.value(callee, scope));
    return this.#evaluateByEngine({ ...node, callee: value }, scope);
  }

  /** What a filter gives for a node. */
  filter(node: Pick<Node, string>, scope: Scope): Value {
    const filter = node["filter"] as Node;
    const name = String(
      (filter.type === "CallExpression" ? filter["callee"] as Node : filter)["value"],
    );
    return this.#apply(name, this.value(node["operand"], scope), this.#arguments(filter, scope));
  }

  #apply(name: string, operand: Value, given: Given): Value {
    const extra = this.#extra.get(name);
    if (extra !== undefined) return toValue(extra(toText(operand)));
    if (name === IS || name === IS_NOT) {
      const [test, ...args] = given.args;
      return toValue(passes(toText(test!), operand, { ...given, args }) === (name === IS));
    }
    if (isSafe(operand) && !KEEPS_SAFE.has(name)) {
      throw new SyntaxError(`the filter ${name} of a text that is marked as safe is not supported`);
    }
    switch (name) {
      case "format":
        if (given.keywords.size > 0) {
          throw new SyntaxError("format of named values is not supported");
        }
        return toValue(percentFormat(toText(operand), tupleOf(given.args)));
      case "map":
        return mapItems(operand, given, (...args) => this.#apply(...args));
      case "select":
      case "reject":
      case "selectattr":
      case "rejectattr":
        return selectItems(name, operand, given);
    }
    const known = FILTERS.get(name);
    if (known !== undefined) return known[1](operand, ...bind(name, known[0], given));
    throw new SyntaxError(
      `the filter ${name} is not ${OTHER_FILTERS.has(name) ? "supported" : "known"}`,
    );
  }

  #arguments(call: Node, scope: Scope): Given {
    const args: Value[] = [], keywords = new Map<string, Value>();
    for (const node of (call["args"] as Node[] | undefined) ?? []) {
      if (node.type === "KeywordArgumentExpression") {
        keywords.set((node["key"] as Node)["value"] as string, this.value(node["value"], scope));
      } else if (node.type === "SpreadExpression") {
        args.push(...iterate(this.value(node["argument"], scope)));
      } else if (node.type === "KeywordSpreadExpression") {
        const dict = this.value(node["argument"], scope);
        if (dict.type !== "ObjectValue") throw new TypeError("what follows ** must be a dict");
        for (const [name, value] of entriesOf(dict)!) keywords.set(String(name), value);
      } else args.push(this.value(node, scope));
    }
    return { args, keywords };
  }
}

/** A node that has this value. */
export function evaluated(value: Value): Node {
  return { type: EVALUATED, value };
}

const FUNCTION_VALUES = new Map(
  [...FUNCTIONS].map(([name, call]) =>
    [name, functionOf((args) => call({ args, keywords: new Map() }))] as const
  ),
);

const KEEPS_SAFE = new Set([
  "default",
  "e",
  "escape",
  "length",
  "replace",
  "safe",
  "string",
  "tojson",
]);

function nameOf(node: Node): string {
  if (node.type !== "MemberExpression") return String(node["value"] ?? "a value");
  const property = (node["property"] as Node)["value"];
  return `${nameOf(node["object"] as Node)}[${JSON.stringify(property)}]`;
}
