/**
 * Reads a training configuration: YAML (or JSON) text plus overrides in, checked values out.
 *
 * Everything is checked before anything starts, and all problems are reported together, each with
 * the place where it was written.
 *
 * @module
 */
import { ConfigError } from "./config_error.ts";
import { deepspeedKeys } from "./deepspeed_keys.ts";
import { group, type Key, type Reading, show } from "./keys.ts";
import { nearest } from "./nearest.ts";
import { applyOverrides } from "./overrides.ts";
import { type Report, rules } from "./rules.ts";
import { type ConfigValues, trainKeys } from "./train_keys.ts";
import { parseYaml } from "./yaml_source.ts";

/** A checked configuration: all keys of the table, and what follows from them. */
export interface TrainConfig extends ConfigValues {
  /** Samples of an optimizer step. */
  train_batch_size: number;
  /** Samples of a micro-batch (B). */
  train_micro_batch_size_per_gpu: number;
  /** Micro-batches of an optimizer step on each replica (M). */
  gradient_accumulation_steps: number;
  /** How attention is computed. */
  attention: "flash" | "reference";
  /** The file it was read from, as it was named. */
  readonly file: string;
  /** Pipeline stages (P). */
  readonly stages: number;
  /** Data-parallel replicas. */
  readonly replicas: number;
  /** Number of ranks. */
  readonly worldSize: number;
  /** Storage type of weights and activations. */
  readonly dtype: "f32" | "bf16" | "f16";
  /** Keys that were accepted and change nothing, one sentence each; for the log. */
  readonly notices: readonly string[];
  /** What is legal and probably not meant, one sentence each; for the log. */
  readonly warnings: readonly string[];
  /** The values alone, fit for YAML and JSON; reading them gives the same configuration. */
  readonly values: ConfigValues;
  /** Where a key such as "optimizer.params.lr" was given: "FILE:line:column", "--set #n", "default". */
  source(key: string): string;
}

/**
 * Reads a configuration file.
 *
 * @param path YAML file; it may hold the keys of DeepSpeed's configuration
 * @param overrides `KEY.KEY=VALUE` each, values as YAML; later ones win
 * @returns The configuration with every default filled in
 * @throws {ConfigError} With all problems, if there are any
 */
export function loadConfig(path: string, overrides: readonly string[] = []): TrainConfig {
  let bytes: Uint8Array;
  try {
    bytes = Deno.readFileSync(path);
  } catch (error) {
    throw new ConfigError(`Cannot read the configuration ${path}: ${readFailure(error)}`, {
      cause: error,
    });
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new ConfigError(`Cannot read the configuration ${path}: it is not UTF-8 text`, {
      cause: error,
    });
  }
  return parseConfig(text, path, overrides);
}

/**
 * Reads a configuration from text, such as one saved with a checkpoint.
 *
 * @param text YAML
 * @param file What messages call it
 * @param overrides As in {@linkcode loadConfig}
 * @returns The configuration with every default filled in
 * @throws {ConfigError} With all problems, if there are any
 */
export function parseConfig(
  text: string,
  file: string,
  overrides: readonly string[] = [],
): TrainConfig {
  const yaml = parseYaml(text, file);
  if (yaml.value === null) {
    throw new ConfigError(`Cannot use the configuration ${file}: it is empty`);
  }
  if (typeof yaml.value !== "object" || Array.isArray(yaml.value)) {
    throw new ConfigError(
      `Cannot use the configuration ${file} as it must be a mapping of keys: current value is ` +
        `${show(yaml.value)} (${file}:${yaml.valuePlace("")})`,
    );
  }
  const problems: string[] = [];
  const { value, origin, originInside } = applyOverrides(yaml.value, overrides, problems);
  const source = (path: string, ofKey = false): string => {
    const override = origin(path);
    if (override !== undefined) return override;
    for (let at = path;; at = at.slice(0, Math.max(0, at.lastIndexOf(".")))) {
      const place = ofKey && at === path ? yaml.keyPlace(at) : yaml.valuePlace(at);
      if (place !== undefined) return at === "" ? file : `${file}:${place}`;
      if (at === "") return file;
      const inside = at === path ? originInside(at) : undefined;
      if (inside !== undefined) return inside;
    }
  };
  const reading = new Collector(problems, source);
  const values = table.read(value, "", reading) as ConfigValues;
  const warnings: string[] = [];
  const given = (path: string) => hasPath(value, path) ? source(path) : "default";
  const report: Report = {
    source: (path) => hasPath(value, path) ? source(path) : file,
    given: (path) => hasPath(value, path),
    problem: (text) => problems.push(text),
    warning: (text) => warnings.push(text),
  };
  for (const rule of rules) {
    if (rule.needs.every((path) => isSound(valueAt(values, path)))) rule.check(values, report);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  const [stages, replicas] = values.model_topo.process_topology.dims as [number, number];
  return {
    ...values as ConfigValues & Derived,
    values,
    file,
    stages,
    replicas,
    worldSize: stages * replicas,
    dtype: values.bf16.enabled ? "bf16" : values.fp16.enabled ? "f16" : "f32",
    notices: reading.notices,
    warnings,
    source: given,
  };
}

/** What is never null once the rules have filled it in. */
type Derived = Pick<
  TrainConfig,
  | "train_batch_size"
  | "train_micro_batch_size_per_gpu"
  | "gradient_accumulation_steps"
  | "attention"
>;

const table = group("A training run", trainKeys, deepspeedKeys);

/** Turns what keys report into sentences with a place. */
class Collector implements Reading {
  readonly notices: string[] = [];
  readonly #problems: string[];
  readonly #source: (path: string, ofKey?: boolean) => string;

  constructor(problems: string[], source: (path: string, ofKey?: boolean) => string) {
    this.#problems = problems;
    this.#source = source;
  }

  fail(path: string, requirement: string, value: unknown): undefined {
    this.#problems.push(
      `Cannot use ${path} as it must be ${requirement}: current value is ${show(value)} ` +
        `(${this.#source(path)})`,
    );
  }

  missing(path: string, doc: string): undefined {
    this.#problems.push(
      `Cannot start without ${path}: add it (${firstLower(doc)}) (${this.#source(path)})`,
    );
  }

  unknown(path: string, suggestion: string | undefined, known: readonly string[]): void {
    const name = path.slice(path.lastIndexOf(".") + 1);
    const meant = suggestion ?? placesOf(name) ?? elsewhereNear(name);
    const hint = meant !== undefined
      ? `: did you mean ${meant}?`
      : known.length <= 12
      ? `: known here are ${known.join(", ")}`
      : "";
    this.#problems.push(`Unknown key ${path}${hint} (${this.#source(path, true)})`);
  }

  unsupported(path: string, why: string): void {
    this.#problems.push(`Cannot use ${path} as ${why} (${this.#source(path, true)})`);
  }

  noEffect(path: string, why: string): void {
    this.notices.push(`${path} has no effect: ${why} (${this.#source(path, true)})`);
  }
}

/** Full paths of the keys called `name`, wherever they are in the table. */
function placesOf(name: string): string | undefined {
  const paths = allPaths(table, "").filter((p) => p === name || p.endsWith(`.${name}`));
  return paths.length > 0 ? [...new Set(paths)].join(" or ") : undefined;
}

function elsewhereNear(name: string): string | undefined {
  const names = allPaths(table, "").map((p) => p.slice(p.lastIndexOf(".") + 1));
  const near = nearest(name, [...new Set(names)].filter((n) => n.length > 4));
  return near === undefined ? undefined : placesOf(near);
}

function allPaths(key: Key<unknown>, path: string): string[] {
  const inside: string[] = [];
  for (const [name, field] of Object.entries(key.fields ?? {})) {
    const at = path === "" ? name : `${path}.${name}`;
    inside.push(at, ...allPaths(field, at));
  }
  for (const variant of Object.values(key.cases ?? {})) inside.push(...allPaths(variant, path));
  return inside;
}

function valueAt(values: unknown, path: string): unknown {
  let at = values;
  for (const name of path.split(".")) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<string, unknown>)[name];
  }
  return at;
}

function hasPath(values: unknown, path: string): boolean {
  return valueAt(values, path) !== undefined;
}

/** Whether a value and all inside could be read. */
function isSound(value: unknown): boolean {
  if (value === undefined) return false;
  return typeof value !== "object" || value === null || Object.values(value).every(isSound);
}

function firstLower(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text[0]!.toLowerCase() + text.slice(1) : text;
}

function readFailure(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.IsADirectory) return "it is a directory, not a file";
  if (error instanceof Deno.errors.PermissionDenied) return "this user may not read it";
  return (error as Error).message;
}
