/** Where templates read from and assign to. @module */
import {
  entriesOf,
  isSequence,
  iterate,
  kind,
  numberOf,
  toValue,
  type Value,
} from "./python_values.ts";
import { isTextMethod } from "./string_methods.ts";

/** A node of a parsed template; which fields it has depends on its type. */
export interface Node {
  /** Such as `Identifier`. */
  type: string;
  /** What its type has. */
  [field: string]: unknown;
}

/** The engine's variables, by what is asked of them here. */
export interface Scope {
  /** A variable from here or outside. */
  lookupVariable(name: string): Value;
  /** Sets a variable here. */
  setVariable(name: string, value: Value): unknown;
}

/** Constants of Jinja2. */
export const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ["true", true],
  ["True", true],
  ["false", false],
  ["False", false],
  ["none", null],
  ["None", null],
]);

/** Attributes that every dict has. */
export const DICT_METHODS: ReadonlySet<string> = new Set(
  "clear copy fromkeys get items keys pop popitem setdefault update values".split(" "),
);

const LIST_METHODS = new Set(
  "append clear copy count extend index insert pop remove reverse sort".split(" "),
);
const NUMBER_ATTRIBUTES = new Set(
  ("as_integer_ratio bit_count bit_length conjugate denominator from_bytes fromhex hex imag " +
    "is_integer numerator real to_bytes").split(" "),
);

/** `object.name`, or `object["name"]`: an entry; methods can only be called. */
export function memberOf(object: Value, name: string, isAttribute: boolean): Value {
  const hasFields = ["ObjectValue", "NamespaceValue", "LoopValue"].includes(object.type);
  const found = hasFields ? entriesOf(object)!.get(name) : undefined;
  const isOwn = isBuiltIn(object, name);
  if (found !== undefined && !(isOwn && isAttribute)) return found;
  if (isOwn !== false) throw new SyntaxError(`${name} of ${kind(object)} is not supported here`);
  return toValue(undefined);
}

/** Whether values of this type have an attribute of this name; undefined if that is not known. */
function isBuiltIn(object: Value, name: string): boolean | undefined {
  if (object.type === "ObjectValue") return DICT_METHODS.has(name);
  if (object.type === "StringValue") return isTextMethod(name);
  if (isSequence(object)) return LIST_METHODS.has(name);
  if (numberOf(object) !== undefined) return NUMBER_ATTRIBUTES.has(name);
  return ["NamespaceValue", "LoopValue", "NullValue"].includes(object.type) ? false : undefined;
}

/**
 * `{% set target = item %}`, and what a loop does with its items.
 *
 * @throws {Error} If it cannot be assigned to
 */
export function assign(target: Node, item: Value, scope: Scope): void {
  switch (target.type) {
    case "Identifier": {
      const name = target["value"] as string;
      if (CONSTANTS.has(name) || name === "loop") throw new SyntaxError(`cannot assign to ${name}`);
      return void scope.setVariable(name, item);
    }
    case "MemberExpression": {
      const namespace = scope.lookupVariable(
        (target["object"] as Node)["value"] as string,
      );
      const field = (target["property"] as Node)["value"] as string;
      if (namespace.type !== "NamespaceValue" || target["computed"]) {
        throw new TypeError("cannot assign to a field of what is no namespace");
      }
      return void (entriesOf(namespace) as Map<string, Value>).set(field, item);
    }
    case "TupleLiteral": {
      const targets = target["value"] as Node[], items = iterate(item);
      if (items.length === targets.length) {
        return targets.forEach((t, i) => assign(t, items[i]!, scope));
      }
      throw new TypeError(`cannot take ${items.length} values apart into ${targets.length}`);
    }
  }
  throw new SyntaxError(`cannot assign to ${target.type}`);
}
