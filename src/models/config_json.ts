/** Checked reading of a model's config.json. @module */
import { ConfigError } from "../config/config_error.ts";

/** The parsed config.json of a model directory. */
export type ModelConfig = Record<string, unknown>;

function refuse(key: string, requirement: string, value: unknown): never {
  const found = value === undefined ? "it is missing" : `current value is ${JSON.stringify(value)}`;
  throw new ConfigError([`Cannot read config.json as ${key} must be ${requirement}: ${found}`]);
}

/** Dimensions are 32-bit numbers in native code. */
const LARGEST = 2 ** 31 - 1;

/** An integer from `min` to `max`; `fallback` when the key is absent or null. */
export function readInteger(
  config: ModelConfig,
  key: string,
  options: { min?: number; max?: number; fallback?: number } = {},
): number {
  const { min = 1, max = LARGEST, fallback } = options;
  const value = config[key] ?? fallback;
  const isInside = typeof value === "number" && value >= min && value <= max;
  if (isInside && Number.isInteger(value)) return value;
  const isOpen = max === LARGEST && !(Number(value) > max);
  const range = isOpen ? `of at least ${min}` : `from ${min} to ${max}`;
  return refuse(key, `an integer ${range}`, value);
}

/**
 * The token of V whose row of the embedding is not trained from there: `pad_token_id`, of which -1
 * is the last one as torch has it; -1 when the key is absent or null.
 */
export function readPaddingId(config: ModelConfig, V: number): number {
  const key = "pad_token_id";
  const id = readInteger(config, key, { min: -1, max: V - 1, fallback: -1 });
  return id === -1 && config[key] === -1 ? V - 1 : id;
}

/** Which of two spellings of a key is there, the first for neither; refuses two that differ. */
export function chooseSpelling(config: ModelConfig, name: string, older: string): string {
  const [value, other] = [config[name] ?? undefined, config[older] ?? undefined];
  if (value !== undefined && other !== undefined && value !== other) {
    refuse(older, `${JSON.stringify(value)} like ${name}`, other);
  }
  return value === undefined && other !== undefined ? older : name;
}

/** Refuses a `value` of `key` that is not a multiple of `unit`, which the key `unitKey` gives. */
export function requireMultiple(key: string, value: number, unit: number, unitKey?: string): void {
  const name = unitKey === undefined ? "" : `${unitKey} = `;
  if (value % unit !== 0) refuse(key, `a multiple of ${name}${unit}`, value);
}

/** Refuses a `value` that the keys of `what` give and that is more than `most`. */
export function requireAtMost(what: string, value: number, most: number): void {
  if (value > most) refuse(what, `at most ${most}`, value);
}

/** A positive number; `fallback` when the key is absent or null. */
export function readPositive(config: ModelConfig, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  return refuse(key, "a positive number", value);
}

/** A number that is not negative; `fallback` when the key is absent or null. */
export function readNotNegative(config: ModelConfig, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  return refuse(key, "a number of at least 0", value);
}

/** A boolean; `fallback` when the key is absent or null. */
export function readBoolean(config: ModelConfig, key: string, fallback: boolean): boolean {
  const value = config[key] ?? fallback;
  return typeof value === "boolean" ? value : refuse(key, "true or false", value);
}

/** Refuses a model that needs what `key` switches on. */
export function requireFalse(config: ModelConfig, key: string): void {
  if (readBoolean(config, key, false)) refuse(key, "false, which is all that is supported", true);
}

/** Refuses a model that needs what any value of `key` but `only` switches on. */
export function requireValue<T extends number | boolean>(
  config: ModelConfig,
  key: string,
  only: T,
  fallback: T,
): void {
  const value = config[key] ?? fallback;
  if (value !== only) refuse(key, `${only}, which is all that is supported`, value);
}

/** A probability below 1; 0 when the key is absent or null. */
export function readDropout(config: ModelConfig, key: string): number {
  const value = config[key] ?? 0;
  if (typeof value === "number" && value >= 0 && value < 1) return value;
  return refuse(key, "a number in [0, 1)", value);
}

/** Refuses any value of `key` but 0. */
export function requireZero(config: ModelConfig, key: string): void {
  requireValue(config, key, 0, 0);
}

/** One of `allowed`; `fallback` when the key is absent or null. */
export function readChoice<T extends string>(
  config: ModelConfig,
  key: string,
  allowed: readonly T[],
  fallback: T,
): T {
  const value = config[key] ?? fallback;
  const found = allowed.find((choice) => choice === value);
  return found ?? refuse(key, allowed.map((choice) => JSON.stringify(choice)).join(" or "), value);
}

/** An object; undefined when the key is absent or null. */
export function readObject(config: ModelConfig, key: string): ModelConfig | undefined {
  const value = config[key] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === "object" && !Array.isArray(value)) return value as ModelConfig;
  return refuse(key, "an object", value);
}
