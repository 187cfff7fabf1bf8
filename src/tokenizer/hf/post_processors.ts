/** Post-processors of tokenizer.json: the special tokens around a sequence. @module */
import type { Component } from "./component.ts";

/** Ids put around the ids of a text. */
export interface Template {
  /** Before. */
  before: number[];
  /** After. */
  after: number[];
}

/** Makes the template for one sequence. @throws {TypeError} If it is not supported */
export function makeTemplate(component: Component | undefined): Template {
  const around: Template = { before: [], after: [] };
  if (component === undefined) return around;
  switch (component.type) {
    case "ByteLevel": // moves offsets only
      return around;
    case "Sequence":
      for (const child of component.children("processors")) {
        const inner = makeTemplate(child);
        around.before.unshift(...inner.before);
        around.after.push(...inner.after);
      }
      return around;
    case "BertProcessing":
    case "RobertaProcessing":
      return { before: [pairId(component, "cls")], after: [pairId(component, "sep")] };
    case "TemplateProcessing":
      return fromTemplate(component);
  }
  throw component.unsupported();
}

function fromTemplate(component: Component): Template {
  const around: Template = { before: [], after: [] };
  const specials = component.child("special_tokens");
  let seen = false;
  for (const item of component.children("single")) {
    if (item.raw("Sequence") !== undefined) {
      if (seen) throw new TypeError(`${component.path}.single has more than one sequence`);
      seen = true;
      continue;
    }
    const ids = specials.child(item.child("SpecialToken").text("id")).list("ids") as number[];
    (seen ? around.after : around.before).push(...ids);
  }
  return around;
}

function pairId(component: Component, name: string): number {
  const id = component.list(name)[1];
  if (typeof id !== "number") throw component.unsupportedOption(name);
  return id;
}
