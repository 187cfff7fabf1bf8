/**
 * Tokenizes a data file once, before any rank starts; every later start and every rank reads the
 * token file that it leaves. The file is named by the content of all that decides what is in it.
 * @module
 */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { isSystemError } from "../formats/file_bytes.ts";
import {
  createTemporary,
  defaultCacheDir,
  openCacheDir,
  sweepTemporary,
  withLock,
} from "./cache_dir.ts";
import { countSample, type DataStats, emptyStats } from "./data_stats.ts";
import { hashFile, hashText } from "./file_hash.ts";
import { type ModelVocabulary, modelVocabulary } from "./model_vocabulary.ts";
import { RowWriter } from "./row_writer.ts";
import { SAMPLE_TYPES } from "./sample.ts";
import { TokenDataset } from "./token_dataset.ts";
import { countLossTokens, type TokenFileDescription, TokenFileWriter } from "./token_file.ts";
import { tokenizeFile } from "./tokenize_file.ts";
import { type SpecialIds, specialIds } from "./special_ids.ts";

/** Raised with every change of prompts, tokenizers or file layout: older token files are unused. */
const VERSION = 5;

/** What to prepare. */
export interface PrepareOptions {
  /** The data file: a JSON array or JSONL. */
  dataPath: string;
  /** The directory with the tokenizer files (and config.json). */
  modelPath: string;
  /** Tokens of a row (S). */
  maxSeqLen: number;
  /** Several samples per row. */
  packing: boolean;
  /** Where token files are kept; default: see `defaultCacheDir`. */
  cacheDir?: string | undefined;
  /** Used when that cannot be written to. */
  fallbackDir?: string | undefined;
  /** Number of workers; default: one per core. */
  workers?: number | undefined;
  /** Called often. */
  onProgress?: ((progress: PrepareProgress) => void) | undefined;
}

/** How far the preparation is. */
export interface PrepareProgress {
  /** What is being done; `wait`: another run does the same work. */
  phase: "hash" | "wait" | "tokenize";
  /** Bytes of the data file that are done. */
  bytes: number;
  /** Bytes of the data file. */
  totalBytes: number;
  /** Samples tokenized so far. */
  samples: number;
}

/** What was prepared. */
export interface PreparedDataset {
  /** The token file, for `TokenDataset.open`. */
  path: string;
  /** Number of rows. */
  rows: number;
  /** Number of samples. */
  samples: number;
  /** Tokens of a row (S). */
  rowLength: number;
  /** Tokens that are not padding, of all there is room for: 0 .. 1. */
  efficiency: number;
  /** Whether the token file was there already. */
  isCached: boolean;
  /** Counts over all samples. */
  stats: DataStats;
}

/**
 * Finds or makes the token file of a data file.
 *
 * Safe when several runs start at once: one tokenizes, the others wait for its file.
 *
 * @throws {ConfigError} If the data file is missing, empty or broken (file, line, sample, field),
 * trains nothing, or needs a tokenizer, a padding or an end token that is not there
 * @throws {Error} If the token file cannot be written; `cause` says why
 */
export async function prepareDataset(options: PrepareOptions): Promise<PreparedDataset> {
  const { dataPath, onProgress } = options;
  const totalBytes = dataFileSize(dataPath);
  if (totalBytes === 0) throw noSamples(dataPath);
  const vocabulary = modelVocabulary(options.modelPath);
  const dir = openCacheDir([options.cacheDir ?? defaultCacheDir(), options.fallbackDir]);
  sweepTemporary(dir);
  const report = (phase: PrepareProgress["phase"], bytes: number, samples: number) =>
    onProgress?.({ phase, bytes, totalBytes, samples });
  const key = cacheKey(options, vocabulary, join(dir, "hashes"), (done) => report("hash", done, 0));
  const name = `${key}.tokens`, path = join(dir, name);
  const found = openExisting(path);
  if (found) return summary(path, found, true);
  return await withLock(dir, key, () => report("wait", 0, 0), async () => {
    const madeMeanwhile = openExisting(path);
    if (madeMeanwhile) return summary(path, madeMeanwhile, true);
    try {
      using temporary = createTemporary(dir, name);
      const description = await writeRows(
        temporary.file,
        options,
        vocabulary,
        (bytes, samples) => report("tokenize", bytes, samples),
      );
      temporary.commit();
      return summary(path, description, false);
    } catch (cause) {
      if (!isSystemError(cause)) throw cause;
      throw new Error(
        `Cannot write tokenized data to ${dir} (free space there, or set LLMPIPE_CACHE_DIR)`,
        { cause },
      );
    }
  });
}

async function writeRows(
  file: Deno.FsFile,
  options: PrepareOptions,
  vocabulary: ModelVocabulary,
  report: (bytes: number, samples: number) => void,
): Promise<TokenFileDescription> {
  const { dataPath, modelPath, maxSeqLen, packing } = options;
  const workers = options.workers ?? navigator.hardwareConcurrency;
  const before = Deno.statSync(dataPath);
  const stats = emptyStats();
  const writer = new TokenFileWriter(file);
  let special: SpecialIds | undefined, rows: RowWriter | undefined;
  const task = { dataPath, modelPath, maxLength: maxSeqLen };
  for await (const { tokens, end } of tokenizeFile(task, workers)) {
    const hasText = tokens.types.some((type) => SAMPLE_TYPES[type] !== "tokens");
    if (special === undefined || (hasText && !special.isText)) {
      special = specialIds(vocabulary, hasText);
    }
    rows ??= new RowWriter(writer, { rowLength: maxSeqLen, packing, padId: special.padId });
    for (let i = 0; i < tokens.types.length; i++) {
      const from = tokens.starts[i]!, to = tokens.starts[i + 1]!;
      const ids = tokens.ids.subarray(from, to), labels = tokens.labels.subarray(from, to);
      countSample(stats, {
        type: SAMPLE_TYPES[tokens.types[i]!]!,
        line: tokens.lines[i]!,
        fullLength: tokens.fullLengths[i]!,
        maxLength: maxSeqLen,
        labels,
        lossTokens: countLossTokens(labels),
      }, special.eosId);
      rows.add({ ids, labels });
    }
    report(end, stats.samples);
  }
  rows?.end();
  if (stats.samples === 0) throw noSamples(dataPath);
  if (stats.lossTokens === 0) {
    throw new ConfigError(
      `Cannot train on ${dataPath}: no token of its ${stats.samples} samples takes loss ` +
        `(empty texts, labels of -100, or prompts longer than max_seq_len ${maxSeqLen})`,
    );
  }
  const after = Deno.statSync(dataPath);
  if (after.size !== before.size || after.mtime?.getTime() !== before.mtime?.getTime()) {
    throw new ConfigError(`Cannot use ${dataPath}: it was changed while it was tokenized`);
  }
  return writer.finish({ rowLength: maxSeqLen, padId: special?.padId ?? 0, packing, stats });
}

function cacheKey(
  options: PrepareOptions,
  vocabulary: ModelVocabulary,
  memoryDir: string,
  onProgress: (bytes: number) => void,
): string {
  const { dir, files, ...numbers } = vocabulary;
  const parts = {
    version: VERSION,
    data: hashFile(options.dataPath, { memoryDir, onProgress }),
    tokenizer: files.map((name) => [name, hashFile(join(dir, name), { memoryDir })]),
    numbers,
    maxSeqLen: options.maxSeqLen,
    packing: options.packing,
  };
  return hashText(JSON.stringify(parts)).slice(0, 32);
}

function openExisting(path: string): TokenFileDescription | undefined {
  try {
    using dataset = TokenDataset.open(path);
    return dataset.description;
  } catch {
    return undefined; // not there, or of no use: it is made again
  }
}

function summary(path: string, file: TokenFileDescription, isCached: boolean): PreparedDataset {
  const { rows, rowLength, stats } = file;
  const { samples, tokens } = stats;
  const efficiency = tokens / (rows * rowLength);
  return { path, rows, samples, rowLength, efficiency, isCached, stats };
}

function dataFileSize(path: string): number {
  try {
    const { isFile, size } = Deno.statSync(path);
    if (isFile) Deno.openSync(path).close(); // tells whether this user may read it
    if (isFile) return size;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new ConfigError(`Cannot read data_path ${path}: there is no such file`);
    }
    throw new ConfigError(`Cannot read data_path ${path}`, { cause });
  }
  throw new ConfigError(`Cannot read data_path ${path}: it must be a file`);
}

function noSamples(path: string): ConfigError {
  return new ConfigError(`Cannot train on ${path}: the data file holds no samples`);
}
