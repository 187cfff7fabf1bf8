/** A batch of rows in a safetensors file, as `logits` takes it. @module */
import { ConfigError } from "../config/config_error.ts";
import { FormatError } from "../formats/format_error.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import type { HostBatch } from "../models/batch.ts";
import type { ModelDescription } from "../models/model.ts";

/** Rows, and what each position has to predict. */
export interface LabelledBatch extends HostBatch {
  /** [B*S] next tokens, negative for no loss; undefined for rows without labels. */
  targets: Int32Array | undefined;
}

/**
 * Reads `input_ids`, `attention_mask` (1 for tokens, 0 for padding) and, if there are any, `labels`.
 *
 * @param path safetensors; each tensor [B, S] i64
 * @throws {ConfigError} On a file or tensor that cannot be used
 */
export function readBatch(path: string): LabelledBatch {
  using file = openBatch(path);
  const read = (name: string) => {
    const entry = file.tensors.get(name);
    if (!entry) return undefined;
    if (entry.dtype !== "I64" || entry.shape.length !== 2) {
      throw new ConfigError([
        `Cannot read ${path} as ${name} must be [B, S] I64: ` +
        `current tensor is [${entry.shape.join(", ")}] ${entry.dtype}`,
      ]);
    }
    const bytes = file.read(name);
    const wide = new BigInt64Array(bytes.slice().buffer);
    const large = wide.find((value) => BigInt.asIntN(32, value) !== value);
    if (large !== undefined) {
      throw new ConfigError(
        `Cannot read ${path} as ${name} must hold 32-bit numbers: current value is ${large}`,
      );
    }
    return { shape: entry.shape, values: Int32Array.from(wide, Number) };
  };
  const ids = read("input_ids");
  const mask = read("attention_mask");
  const labels = read("labels");
  if (!ids || !mask) {
    throw new ConfigError([`Cannot read ${path} as it must hold input_ids and attention_mask`]);
  }
  for (const [name, tensor] of Object.entries({ attention_mask: mask, labels })) {
    if (tensor && tensor.shape.join() !== ids.shape.join()) {
      throw new ConfigError([
        `Cannot read ${path} as ${name} must be [${ids.shape.join(", ")}] like input_ids: ` +
        `current shape is [${tensor.shape.join(", ")}]`,
      ]);
    }
  }
  const [B, S] = ids.shape;
  if (B === 0 || S === 0) {
    throw new ConfigError(
      `Cannot read ${path} as input_ids must have rows and positions: current shape is [${B}, ${S}]`,
    );
  }
  const targets = labels?.values.map((_, n) => n % S === S - 1 ? -100 : labels.values[n + 1]);
  return { B, S, ids: ids.values, segments: mask.values, targets };
}

/**
 * Checks the values of a batch against a model.
 *
 * @param path Where it was read, for messages
 * @throws {ConfigError} Naming every token outside the vocabulary and every mask with holes
 */
export function checkTokens(batch: LabelledBatch, model: ModelDescription, path: string): void {
  const { B, S, ids, segments, targets } = batch;
  const problems: string[] = [];
  for (let b = 0; b < B; b++) {
    const row = segments.subarray(b * S, (b + 1) * S);
    const other = row.find((m) => m !== 0 && m !== 1);
    const wrong = other !== undefined
      ? `must hold 0 and 1: current value is ${other}`
      : !row.includes(1)
      ? "must have a 1"
      : undefined;
    if (wrong) problems.push(`Cannot use row ${b} of ${path} as its attention_mask ${wrong}`);
    else if (row.lastIndexOf(1) - row.indexOf(1) + 1 !== row.filter((m) => m === 1).length) {
      problems.push(`Cannot use row ${b} of ${path} as its attention_mask must have no holes`);
    }
  }
  const outside = (values: Int32Array) => values.find((id) => id >= model.vocabSize);
  const range = `must be in [0, ${model.vocabSize})`;
  const id = ids.find((id) => id < 0) ?? outside(ids);
  if (id !== undefined) {
    problems.push(`Cannot use ${path} as its tokens ${range}: current value is ${id}`);
  }
  const label = targets && outside(targets);
  if (label !== undefined) {
    problems.push(
      `Cannot use ${path} as its labels ${range}, or negative: current value is ${label}`,
    );
  }
  if (targets && countTargets(targets) === 0) {
    problems.push(
      `Cannot compute a loss of ${path} as its labels, but for the first of each row, are all negative`,
    );
  }
  if (problems.length) throw new ConfigError(problems);
}

/** How many positions have something to predict. */
export function countTargets(targets: Int32Array): number {
  return targets.reduce((count, target) => count + (target >= 0 ? 1 : 0), 0);
}

function openBatch(path: string): ReturnType<typeof openSafetensors> {
  try {
    return openSafetensors(path);
  } catch (cause) {
    const { message } = cause as Error;
    const isNamed = cause instanceof FormatError;
    throw new ConfigError(isNamed ? message : `Cannot read ${path}: ${message}`, { cause });
  }
}
