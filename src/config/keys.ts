/**
 * The words of which the table of configuration keys is made: each makes one {@linkcode Key}, which
 * holds type, default, check and documentation of a key.
 *
 * @module
 */
import { nearest } from "./nearest.ts";
import { childPath } from "./yaml_source.ts";

/** One key of the configuration, or a mapping of keys. */
export interface Key<T> {
  /** What it is for. */
  readonly doc: string;
  /** What a value must be, as in "it must be TYPE". */
  readonly type: string;
  /** Used when the key is absent; without it the key is required. */
  readonly default?: T | undefined;
  /** The keys inside, when it is a mapping. */
  readonly fields?: Readonly<Record<string, Key<unknown>>>;
  /** The alternatives by their `type`, when it is a choice. */
  readonly cases?: Readonly<Record<string, Key<unknown>>>;
  /** Turns what was written into the value, or reports why not and returns undefined. */
  read(value: unknown, path: string, reading: Reading): T | undefined;
}

/** Where keys report to while a configuration is read. */
export interface Reading {
  /** Reports a value that breaks its requirement. */
  fail(path: string, requirement: string, value: unknown): undefined;
  /** Reports a required key that is absent. */
  missing(path: string, doc: string): undefined;
  /** Reports a key that nobody knows. */
  unknown(path: string, suggestion: string | undefined, known: readonly string[]): void;
  /** Reports a key whose function does not exist here. */
  unsupported(path: string, why: string): void;
  /** Notes a key that was accepted and changes nothing. */
  noEffect(path: string, why: string): void;
}

/** What a table of keys holds once it is read. */
export type ValuesOf<T> = { [K in keyof T]: T[K] extends Key<infer V> ? V : never };

/** What a choice holds once it is read: the name of one case and its keys. */
export type CaseOf<T> = {
  [N in keyof T & string]: { type: N } & CaseValues<T[N]>;
}[keyof T & string];

/** The keys of one case. */
export type CaseValues<K> = K extends Key<infer V> ? V : never;

/** A key of DeepSpeed that is known here but has no value: it is accepted or refused. */
export interface Foreign {
  /** Why it changes nothing, or what to do instead. */
  readonly doc: string;
  /** Which setting of the switch is refused. */
  readonly refuses: "nothing" | "on" | "off";
  /** The names that may stand inside, when it is a mapping. */
  readonly names?: readonly string[];
}

/** A key that is accepted, named in the log, and changes nothing. */
export function noEffect(doc: string, names?: readonly string[]): Foreign {
  return { doc, refuses: "nothing", ...(names && { names }) };
}

/** A key that may stand there switched off, but not on. */
export function unsupported(doc: string): Foreign {
  return { doc, refuses: "on" };
}

/** A key that may stand there switched on, but not off. */
export function always(doc: string): Foreign {
  return { doc, refuses: "off" };
}

/** A whole number. Numbers written as text, as older writers do, are taken too. */
export function int(
  o: { doc: string; min?: number; max?: number; default?: number; type?: string },
): Key<number> {
  const { min = -Number.MAX_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = o;
  const type = o.type ?? "an integer" + rangeText(o.min, o.max);
  return {
    ...o,
    type,
    read(value, path, reading) {
      const n = toNumber(value);
      if (!Number.isSafeInteger(n) || n < min || n > max) return reading.fail(path, type, value);
      return n;
    },
  };
}

/** A finite number. Numbers written as text ("1e-5") are taken too. */
export function num(
  o: { doc: string; min?: number; max?: number; above?: number; below?: number; default?: number },
): Key<number> {
  const { min = -Infinity, max = Infinity, above = -Infinity, below = Infinity } = o;
  const type = "a number" + rangeText(o.min, o.max, o.above, o.below);
  return {
    ...o,
    type,
    read(value, path, reading) {
      const n = toNumber(value);
      const good = Number.isFinite(n) && n >= min && n <= max && n > above && n < below;
      return good ? n : reading.fail(path, type, value);
    },
  };
}

/** true or false; yes, no, on and off are taken too, as YAML 1.1 reads them. */
export function bool(o: { doc: string; default?: boolean }): Key<boolean> {
  const type = "true or false";
  return {
    ...o,
    type,
    read(value, path, reading) {
      if (typeof value === "boolean") return value;
      const word = typeof value === "string" ? value.toLowerCase() : "";
      if (/^(yes|on|true)$/.test(word)) return true;
      if (/^(no|off|false)$/.test(word)) return false;
      return reading.fail(path, type, value);
    },
  };
}

/** Text that is not empty. */
export function text(o: { doc: string; default?: string; type?: string }): Key<string> {
  const type = o.type ?? "text that is not empty";
  return {
    ...o,
    type,
    read(value, path, reading) {
      if (typeof value === "number") return String(value);
      if (typeof value === "string" && value.trim() !== "") return value;
      return reading.fail(path, type, value);
    },
  };
}

/** The path of a file or directory; relative ones start at the current directory. */
export function path(o: { doc: string; default?: string }): Key<string> {
  const key = text({ ...o, type: "the path of a file or directory" });
  const type = "a path without ~, which only a shell replaces";
  return {
    ...key,
    read: (value, path, reading) =>
      typeof value === "string" && /^~(\/|$)/.test(value)
        ? reading.fail(path, type, value)
        : key.read(value, path, reading),
  };
}

/** One of a few words. */
export function oneOf<W extends string>(
  words: readonly W[],
  o: { doc: string; default?: W; unlisted?: readonly W[]; type?: string },
): Key<W> {
  const { unlisted = [], ...rest } = o;
  const type = o.type ?? (words.length === 1 ? words[0]! : `one of ${words.join(", ")}`);
  return {
    ...rest,
    type,
    read(value, path, reading) {
      const word = [...words, ...unlisted].find((w) => w === value);
      if (word !== undefined) return word;
      const meant = words.length > 1 && typeof value === "string" ? nearest(value, words) : "";
      return reading.fail(path, meant ? `${type} (did you mean ${meant}?)` : type, value);
    },
  };
}

/** A list whose items are all of one kind. */
export function list<T>(
  item: Key<T>,
  o: { doc: string; default?: readonly T[]; length?: number; type: string },
): Key<readonly T[]> {
  return {
    ...o,
    read(value, path, reading) {
      if (!Array.isArray(value) || (o.length !== undefined && value.length !== o.length)) {
        return reading.fail(path, o.type, value);
      }
      const items = value.map((v, i) => item.read(v, childPath(path, i), reading));
      return items.every((v) => v !== undefined) ? items as T[] : undefined;
    },
  };
}

/** A key that may be absent or null, and then is null. */
export function optional<T>(key: Key<T>): Key<T | null> {
  return {
    ...key,
    default: null,
    read: (value, path, reading) => value === null ? null : key.read(value, path, reading),
  };
}

/** Takes what `first` takes, else what `second` takes; `isFirst` says which one is meant. */
export function either<A, B>(
  first: Key<A>,
  second: Key<B>,
  o: { doc: string; type: string; default?: A | B; isFirst: (value: unknown) => boolean },
): Key<A | B> {
  return {
    doc: o.doc,
    type: o.type,
    default: o.default,
    read: (value, path, reading) => (o.isFirst(value) ? first : second).read(value, path, reading),
  };
}

/** A mapping of keys. An absent one is read as an empty one. */
export function group<T extends Record<string, Key<unknown>>>(
  doc: string,
  fields: T,
  foreign: Readonly<Record<string, Foreign>> = {},
): Key<ValuesOf<T>> {
  const type = "a mapping of keys";
  return {
    doc,
    type,
    fields,
    read(value, path, reading) {
      const written = asMapping(value);
      if (!written) return reading.fail(path, type, value);
      for (const name of Object.keys(written)) {
        if (Object.hasOwn(fields, name)) continue;
        const at = childPath(path, name);
        if (Object.hasOwn(foreign, name)) readForeign(foreign[name]!, written[name], at, reading);
        else {
          const near = nearest(name, [...Object.keys(fields), ...Object.keys(foreign)]);
          reading.unknown(at, near && childPath(path, near), Object.keys(fields));
        }
      }
      const result: Record<string, unknown> = {};
      for (const [name, key] of Object.entries(fields)) {
        const at = childPath(path, name);
        if (Object.hasOwn(written, name)) result[name] = key.read(written[name], at, reading);
        else if (key.default !== undefined) result[name] = key.default;
        else if (key.fields) result[name] = key.read(null, at, reading);
        else result[name] = reading.missing(at, key.doc);
      }
      return result as ValuesOf<T>;
    },
  };
}

/** A mapping whose `type` names one of several tables. Case does not matter in the name. */
export function choice<T extends Record<string, Key<unknown>>>(
  doc: string,
  cases: T,
  aliases: Readonly<Record<string, keyof T & string>> = {},
): Key<CaseOf<T>> {
  const type = `one of ${Object.keys(cases).join(", ")}`;
  const names: Record<string, string> = {};
  for (const name of Object.keys(cases)) names[name] = name;
  Object.assign(names, aliases);
  return {
    doc,
    type: `a mapping with type: ${type}`,
    cases,
    read(value, path, reading) {
      const written = asMapping(value);
      if (!written) return reading.fail(path, "a mapping of keys", value);
      const { type: word, ...rest } = written;
      const at = childPath(path, "type");
      if (word === undefined) return reading.missing(at, type);
      const key = Object.keys(names).find((n) => n.toLowerCase() === String(word).toLowerCase());
      if (key === undefined) {
        const near = nearest(String(word), Object.keys(names));
        return reading.fail(at, near ? `${type} (did you mean ${near}?)` : type, word);
      }
      const name = names[key]!;
      const inside = cases[name]!.read(rest, path, reading);
      if (inside === undefined) return undefined;
      return { type: name, ...inside } as unknown as CaseOf<T>;
    },
  };
}

/** A value as it is shown in messages: short, on one line. */
export function show(value: unknown): string {
  if (value === undefined) return "absent";
  if (typeof value === "number") return String(value);
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = Array.isArray(value) ? "a list that holds itself" : "a mapping that holds itself";
  }
  return text.length > 60 ? text.slice(0, 57) + "..." : text;
}

function readForeign(key: Foreign, value: unknown, path: string, reading: Reading): void {
  if (key.refuses !== "nothing") {
    if (isOn(value) === (key.refuses === "on")) reading.unsupported(path, key.doc);
    return;
  }
  if (key.names) {
    const written = asMapping(value);
    if (!written) {
      reading.fail(path, "a mapping of keys", value);
      return;
    }
    for (const name of Object.keys(written)) {
      if (key.names.includes(name)) continue;
      const near = nearest(name, key.names);
      reading.unknown(childPath(path, name), near && childPath(path, near), key.names);
    }
  }
  reading.noEffect(path, key.doc);
}

/** A switch is off when it is null, false, 0, an empty mapping, or one with `enabled: false`. */
function isOn(value: unknown): boolean {
  const mapping = asMapping(value);
  if (!mapping) return Boolean(value);
  return "enabled" in mapping ? isOn(mapping["enabled"]) : Object.keys(mapping).length > 0;
}

/** A mapping, an empty one for null, or undefined for anything else. */
function asMapping(value: unknown): Record<string, unknown> | undefined {
  if (value === null) return {};
  if (typeof value !== "object" || Array.isArray(value) || value instanceof Date) return undefined;
  return value as Record<string, unknown>;
}

function toNumber(value: unknown): number {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return NaN;
  return /^[-+]?(\d[\d_]*\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(value.trim())
    ? Number(value.replaceAll("_", ""))
    : NaN;
}

function rangeText(min?: number, max?: number, above?: number, below?: number): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  const low = min !== undefined
    ? `at least ${min}`
    : above !== undefined
    ? `more than ${above}`
    : "";
  const high = max !== undefined
    ? `at most ${max}`
    : below !== undefined
    ? `less than ${below}`
    : "";
  const both = [low, high].filter((s) => s !== "").join(" and ");
  return both === "" ? "" : ` of ${both}`;
}
