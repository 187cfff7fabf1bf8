/**
 * A regular expression as a program of few instructions (a nondeterministic automaton whose threads
 * are in order of preference).
 *
 * @see Russ Cox, "Regular Expression Matching: the Virtual Machine Approach" (2009)
 * @module
 */
import type { CharacterSet } from "./character_classes.ts";
import type { AtomicNode, RegexNode, RepeatNode } from "./regex_node.ts";

/** An instruction; the numbers are places of others, or of a set. */
export type Instruction =
  | { kind: "take"; set: number; next: number } // a character of the set
  | { kind: "look"; set: number; negated: boolean; next: number } // what the next character is
  | { kind: "fork"; next: number; other: number } // rather `next` than `other`
  | { kind: "match" };

/** A program and the sets that it looks characters up in. */
export interface RegexProgram {
  /** The instructions. */
  code: readonly Instruction[];
  /** Where it begins. */
  start: number;
  /** The sets. */
  sets: readonly CharacterSet[];
}

/**
 * Makes a program of an expression.
 *
 * @returns undefined if it looks at more than the next character, gives nothing back where that is not
 * clear from the next character, may match nothing, or is very long
 */
export function makeProgram(node: RegexNode): RegexProgram | undefined {
  if (mayBeEmpty(node)) return undefined;
  const builder = new Builder();
  try {
    const start = builder.build(node, builder.add({ kind: "match" }), false);
    return { code: builder.code, start, sets: builder.sets };
  } catch (error) {
    if (error instanceof Unsupported) return undefined;
    throw error;
  }
}

class Unsupported extends Error {}

const MAX_LENGTH = 4000;

class Builder {
  readonly code: Instruction[] = [];
  readonly sets: CharacterSet[] = [];

  add(instruction: Instruction): number {
    if (this.code.length === MAX_LENGTH) throw new Unsupported();
    return this.code.push(instruction) - 1;
  }

  /** What matches `node` and then goes on at `next`. @returns Where that begins */
  build(node: RegexNode, next: number, ignoresCase: boolean): number {
    switch (node.kind) {
      case "set":
        return this.add({ kind: "take", set: this.#set(node.source, ignoresCase), next });
      case "sequence":
        return node.items.reduceRight((after, item) => this.build(item, after, ignoresCase), next);
      case "alternatives": {
        const starts = node.items.map((item) => this.build(item, next, ignoresCase));
        return starts.reduceRight((other, first) => this.add({ kind: "fork", next: first, other }));
      }
      case "repeat":
        return this.#repeat(node, next, next, ignoresCase);
      case "atomic":
        return this.#atomic(node, next, ignoresCase);
      case "look": {
        const source = sourceOfSet(node.item);
        if (node.behind || source === undefined) throw new Unsupported();
        const set = this.#set(source, ignoresCase);
        return this.add({ kind: "look", set, negated: node.negated, next });
      }
      case "case":
        return this.build(node.item, next, node.ignored);
    }
  }

  /** @param early Where it goes on after fewer than the most repetitions */
  #repeat(node: RepeatNode, next: number, early: number, ignoresCase: boolean): number {
    const { item, min, max, lazy } = node;
    if (mayBeEmpty(item)) throw new Unsupported();
    const fork = (again: number) =>
      lazy ? { next: early, other: again } : { next: again, other: early };
    let start = next;
    if (max === Infinity) {
      const loop = start = this.add({ kind: "match" }); // a place for the fork that is built last
      this.code[loop] = { kind: "fork", ...fork(this.build(item, loop, ignoresCase)) };
    }
    for (let n = max === Infinity ? min : max; n > 0; n--) {
      start = this.build(item, start, ignoresCase);
      if (n > min) start = this.add({ kind: "fork", ...fork(start) });
    }
    return start;
  }

  /** Repeats one set as often as it can: it may end early only before another character. */
  #atomic({ item }: AtomicNode, next: number, ignoresCase: boolean): number {
    if (item.kind === "set") return this.build(item, next, ignoresCase);
    if (item.kind !== "repeat" || item.lazy || item.item.kind !== "set") throw new Unsupported();
    const set = this.#set(item.item.source, ignoresCase);
    return this.#repeat(
      item,
      next,
      this.add({ kind: "look", set, negated: true, next }),
      ignoresCase,
    );
  }

  #set(source: string, ignoresCase: boolean): number {
    const found = this.sets.findIndex((s) => s.source === source && s.ignoresCase === ignoresCase);
    return found >= 0 ? found : this.sets.push({ source, ignoresCase }) - 1;
  }
}

/** One set for what always matches exactly one character. */
function sourceOfSet(node: RegexNode): string | undefined {
  if (node.kind === "set") return node.source;
  if (node.kind !== "alternatives") return undefined;
  const sources = node.items.map(sourceOfSet);
  return sources.includes(undefined) ? undefined : `[${sources.join("")}]`;
}

function mayBeEmpty(node: RegexNode): boolean {
  switch (node.kind) {
    case "set":
      return false;
    case "sequence":
      return node.items.every(mayBeEmpty);
    case "alternatives":
      return node.items.some(mayBeEmpty);
    case "repeat":
      return node.min === 0 || node.max === 0 || mayBeEmpty(node.item);
    case "look":
      return true;
    case "atomic":
    case "case":
      return mayBeEmpty(node.item);
  }
}
