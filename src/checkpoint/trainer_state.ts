/** `trainer_state.json`: what makes a directory a complete training checkpoint. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { readJsonObject } from "./model_dir.ts";

/** The name of the file; it is written last. */
export const STATE_FILE = "trainer_state.json";

/** Raised when a reader of older versions could misread the file. */
const FORMAT = 1;

/** What was written to a file of tensors, for those who check it later. */
export interface WrittenFile {
  /** Size of the file. */
  bytes: number;
  /** CRC-32 of the whole file. */
  crc32: number;
}

/** Contents of the file. */
export interface TrainerState {
  /** Optimizer steps done. */
  step: number;
  /** When it was saved, in milliseconds since 1970. */
  savedAt: number;
  /** Whatever the trainer needs to go on: samples seen, loss scale, seeds. */
  state: Record<string, unknown>;
  /** Size and checksum of every file of tensors. */
  files: Record<string, WrittenFile>;
}

/** The text of the file. */
export function formatTrainerState(state: TrainerState): string {
  return JSON.stringify({ format: FORMAT, ...state }, null, 1) + "\n";
}

/**
 * Reads the file of a checkpoint and looks whether all files are there in full size. Their
 * checksums are compared when they are read.
 *
 * @throws {ConfigError} Naming what is missing or damaged
 */
export function readTrainerState(dir: string): TrainerState {
  const path = join(dir, STATE_FILE);
  const { format, step, savedAt, state, files } = readJsonObject(path);
  if (format !== FORMAT) {
    throw new ConfigError(`Cannot read ${path} as its format must be ${FORMAT}: it is ${format}`);
  }
  if (!isCount(step) || !isCount(savedAt) || !isRecord(state) || !isFiles(files)) {
    throw new ConfigError(`Cannot read ${path} as it must have step, savedAt, state and files`);
  }
  const problems = Object.entries(files).flatMap(([name, { bytes }]) => {
    const found = sizeOf(join(dir, name));
    if (found === bytes) return [];
    const fault = found === undefined ? "it is missing" : `it has ${found}`;
    return [`Cannot use ${dir} as ${name} must have ${bytes} bytes: ${fault}`];
  });
  if (problems.length) throw new ConfigError(problems);
  return { step, savedAt, state, files };
}

function sizeOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isFiles(value: unknown): value is Record<string, WrittenFile> {
  return isRecord(value) &&
    Object.entries(value).every(([name, file]) =>
      /^[\w.-]+$/.test(name) && isRecord(file) && isCount(file.bytes) && isCount(file.crc32)
    );
}
