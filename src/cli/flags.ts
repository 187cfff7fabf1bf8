/** Typed flags of a subcommand. @module */
import { parseArgs } from "@std/cli/parse-args";
import { nearest } from "../config/nearest.ts";
import { UsageError } from "./usage_error.ts";

/** Reads the value of one flag from the words it was given; undefined when it was not given. */
export type FlagReader<T> = (words: readonly string[] | undefined, name: string) => T;

/** The values of a table of flags. */
export type FlagValues<Table> = {
  [Name in keyof Table]: Table[Name] extends FlagReader<infer T> ? T : never;
};

/**
 * Reads the flags of a subcommand; positional arguments stand in `_`.
 *
 * @param table A reader for each flag, by its name without dashes
 * @param positionals Names of the positional arguments, all required
 * @throws {UsageError} On an unknown flag, a missing or wrong value, or a wrong number of positionals
 */
export function readFlags<Table extends Record<string, FlagReader<unknown>>>(
  args: readonly string[],
  table: Table,
  positionals: readonly string[] = [],
): FlagValues<Table> & { _: string[] } {
  const names = Object.keys(table);
  const isToggle = (name: string) => table[name] === (toggle as FlagReader<unknown>);
  const valued = names.filter((name) => !isToggle(name));
  requireValues(args, valued);
  const parsed = parseArgs(args, {
    string: [...valued, "_"],
    collect: valued,
    boolean: names.filter(isToggle),
    unknown(arg, key) {
      if (key === undefined) return true;
      const near = nearest(key, names);
      throw new UsageError(`Unknown option ${arg}${near ? `, did you mean --${near}?` : ""}`);
    },
  });
  const given = parsed._.map(String);
  if (given.length !== positionals.length) {
    const wanted = positionals.length ? positionals.join(" ") : "no arguments but options";
    throw new UsageError(
      `Expected ${wanted}: current ${given.length === 1 ? "argument is" : "arguments are"} ` +
        (given.length ? given.map((word) => JSON.stringify(word)).join(" ") : "none"),
    );
  }
  const values: Record<string, unknown> = { _: given };
  for (const name of names) {
    const words: string[] = [parsed[name]].flat().map(String);
    values[name] = table[name](words.length ? words : undefined, name);
  }
  return values as FlagValues<Table> & { _: string[] };
}

/** An empty word is what a shell makes of a variable that is not set: no value. */
function requireValues(args: readonly string[], valued: readonly string[]): void {
  args.forEach((word, i) => {
    const before = args[i - 1];
    if (word === "" && before?.startsWith("--") && valued.includes(before.slice(2))) {
      throw new UsageError(`The option ${before} needs a value: current value is empty`);
    }
  });
}

/** A flag that must be given, once. */
export function required(words: readonly string[] | undefined, name: string): string {
  const word = optional(words, name);
  if (word === undefined) throw new UsageError(`The option --${name} is required`);
  return word;
}

/** A flag that may be given, once. */
export function optional(words: readonly string[] | undefined, name: string): string | undefined {
  if (words === undefined) return undefined;
  if (words.length > 1) throw new UsageError(`The option --${name} can be given only once`);
  if (words[0] === "") throw new UsageError(`The option --${name} needs a value`);
  return words[0];
}

/** A flag that may be given any number of times. */
export function repeated(words: readonly string[] | undefined, name: string): readonly string[] {
  if (words?.includes("")) throw new UsageError(`The option --${name} needs a value`);
  return words ?? [];
}

/** A flag without a value. */
export function toggle(words: readonly string[] | undefined, _name: string): boolean {
  return words?.at(-1) === "true";
}

/** A number in a range; `fallback` when not given. */
export function number<T extends number | undefined>(
  range: { min: number; max?: number; integer?: boolean },
  fallback: T,
): FlagReader<number | T> {
  const { min, max = Infinity, integer = false } = range;
  return (words, name) => {
    const word = optional(words, name);
    if (word === undefined) return fallback;
    const value = Number(word);
    if (value >= min && value <= max && (!integer || Number.isInteger(value))) return value;
    const kind = integer ? "an integer" : "a number";
    const bounds = max === Infinity ? `of at least ${min}` : `from ${min} to ${max}`;
    throw new UsageError(
      `The option --${name} must be ${kind} ${bounds}: current value is ${word}`,
    );
  };
}

/** Where the work is done; undefined when not given. */
export function deviceChoice(
  words: readonly string[] | undefined,
  name: string,
): "auto" | "cpu" | "cuda" | "cudaemu" | undefined {
  if (words?.length === 1 && words[0] === "cudaemu") return "cudaemu"; // for tests, so not in the help
  return choice(["auto", "cpu", "cuda"], undefined)(words, name);
}

/** One of several words; `fallback` when not given. */
export function choice<const T extends string, const U extends T | undefined>(
  allowed: readonly T[],
  fallback: U,
): FlagReader<T | U> {
  return (words, name) => {
    const word = optional(words, name);
    if (word === undefined) return fallback;
    const found = allowed.find((value) => value === word);
    if (found !== undefined) return found;
    throw new UsageError(
      `The option --${name} must be one of ${allowed.join(", ")}: current value is ${word}`,
    );
  };
}
