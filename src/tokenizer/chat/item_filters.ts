/** Filters that ask others for each item: `map`, `select` and their like. @module */
import type { Given } from "./arguments.ts";
import { getter } from "./filters.ts";
import { isTrue, iterableOf, iterate, toText, toValue, type Value } from "./python_values.ts";
import { passes } from "./value_tests.ts";

/**
 * `map`: a filter, or an attribute, of each item.
 *
 * @param apply Applies a filter by its name
 */
export function mapItems(
  list: Value,
  { args, keywords }: Given,
  apply: (name: string, item: Value, given: Given) => Value,
): Value {
  const [name, ...others] = args, items = itemsIn(list);
  const attribute = keywords.get("attribute"), fallback = keywords.get("default");
  if (name !== undefined) {
    const given = { args: others, keywords };
    return iterableOf("Generator", items.map((item) => apply(toText(name), item, given)));
  }
  if (attribute === undefined || [...keywords.keys()].some((name) => !KEYWORDS.has(name))) {
    throw new TypeError("map needs a filter or attribute=");
  }
  const get = getter(attribute);
  if (fallback !== undefined && toText(attribute).includes(".")) {
    throw new SyntaxError("map with a default and an attribute of an attribute is not supported");
  }
  const mapped = items.map((item) => {
    const value = get(item);
    return value.type === "UndefinedValue" && fallback !== undefined ? fallback : value;
  });
  return iterableOf("Generator", mapped);
}

/** What is false has no items, whatever it is. */
function itemsIn(list: Value): readonly Value[] {
  return isTrue(list) ? iterate(list) : [];
}

const KEYWORDS = new Set(["attribute", "default"]);

/** `select`, `reject`, `selectattr` and `rejectattr`: the items, or those whose attribute, pass a test. */
export function selectItems(name: string, list: Value, { args, keywords }: Given): Value {
  const byAttribute = name.endsWith("attr"), keeps = name.startsWith("select");
  const [attribute, ...test] = byAttribute ? args : [undefined, ...args];
  if (byAttribute && attribute === undefined) throw new TypeError(`${name} needs an attribute`);
  const get = getter(attribute ?? toValue(null)), [wanted, ...others] = test as Value[];
  const chosen = itemsIn(list).filter((item) => {
    const value = get(item);
    const isKept = wanted === undefined
      ? isTrue(value)
      : passes(toText(wanted), value, { args: others, keywords });
    return isKept === keeps;
  });
  return iterableOf("Generator", chosen);
}
