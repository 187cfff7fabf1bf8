/** `llmpipe convert`. @module */
import { parseByteSize } from "../checkpoint/byte_size.ts";
import {
  type ConvertOptions,
  type ConvertReport,
  convertToHuggingFace,
  convertToPipeline,
} from "../checkpoint/convert.ts";
import { listNames } from "../checkpoint/shard_index.ts";
import { saveHubModel } from "../checkpoint/hub_model.ts";
import { checkSource } from "../models/load_weights.ts";
import { formatBytes } from "../monitor/format_bytes.ts";
import { Screen } from "../monitor/terminal.ts";
import { choice, type FlagReader, optional, readFlags, required, toggle } from "./flags.ts";
import { modelDirectory, showTransfer } from "./local_model.ts";
import { UsageError } from "./usage_error.ts";

const STORED = { keep: undefined, f32: "F32", bf16: "BF16", fp16: "F16" } as const;

const COMMON = {
  "input-path": required,
  "save-path": required,
  "dtype": choice(["keep", "f32", "bf16", "fp16"], "keep"),
  "force": toggle,
};

/** Runs `llmpipe convert ARGS`. Returns the exit status. */
export async function convert(args: string[]): Promise<number> {
  const [direction, ...rest] = args;
  if (direction === "hg_to_pp") {
    const flags = readFlags(rest, {
      ...COMMON,
      "format": choice(["safetensors", "pt"], "safetensors"),
    });
    const { format } = flags;
    return await run(flags, (options) => convertToPipeline({ ...options, format }));
  }
  if (direction === "pp_to_hg") {
    const flags = readFlags(rest, { ...COMMON, "max-shard-size": byteSize("1GB") });
    const maxShardBytes = flags["max-shard-size"];
    return await run(flags, (options) => convertToHuggingFace({ ...options, maxShardBytes }));
  }
  if (direction === "download") {
    const flags = readFlags(rest, {
      "model-name": required,
      "save-path": required,
      "force": toggle,
    });
    return await download(flags["model-name"], flags["save-path"], flags.force);
  }
  throw new UsageError(
    `Expected hg_to_pp, pp_to_hg or download: current word is ${direction ?? "missing"}`,
  );
}

/** A number of bytes such as `500MB` or `2GiB`. */
function byteSize(fallback: string): FlagReader<number> {
  return (words, name) => {
    const word = optional(words, name) ?? fallback;
    const bytes = parseByteSize(word);
    if (bytes !== undefined) return bytes;
    throw new UsageError(
      `The option --${name} must be a size such as 500MB, 1GB or 2GiB: current value is ${word}`,
    );
  };
}

async function download(name: string, savePath: string, force: boolean): Promise<number> {
  const { pinned, files, bytes } = await showTransfer(
    name,
    (watch) => saveHubModel(name, savePath, { force, ...watch }),
  );
  console.error(`Wrote ${pinned}, ${files} files of ${formatBytes(bytes)}, to ${savePath}`);
  return 0;
}

async function run(
  flags: {
    "input-path": string;
    "save-path": string;
    dtype: keyof typeof STORED;
    force: boolean;
  },
  start: (options: ConvertOptions) => Promise<ConvertReport>,
): Promise<number> {
  const inputPath = await modelDirectory(flags["input-path"], "weights");
  const screen = new Screen();
  const stop = new AbortController();
  const interrupt = () =>
    stop.abort(
      new Error(
        "Cannot finish the conversion as it was interrupted: the same command goes on with it",
      ),
    );
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, interrupt);
  const began = performance.now();
  try {
    const { files, finishedBefore, bytes, overflows, underflows, notFinite } = await start({
      inputPath,
      savePath: flags["save-path"],
      dtype: STORED[flags.dtype],
      force: flags.force,
      signal: stop.signal,
      check: checkSource,
      onProgress: (done, total) =>
        screen.redraw(`${formatBytes(done)} of ${formatBytes(total)} written`),
    });
    screen.redraw("");
    const warn = (what: string) => screen.print(`Warning: ${what}`);
    if (overflows > 0) {
      warn(`${overflows} values are beyond the range of ${flags.dtype} and became infinite`);
    }
    if (underflows > 0) {
      warn(`${underflows} values are too small for ${flags.dtype} and became zero`);
    }
    const broken = Object.entries(notFinite);
    if (broken.length > 0) {
      const counts = broken.map(([name, count]) => `${count} of ${name}`);
      warn(`Values of the model are NaN or infinite and stay so: ${listNames(counts)}`);
    }
    if (finishedBefore > 0) {
      screen.print(
        `Went on with an interrupted conversion: ${finishedBefore} of ${files} files were finished`,
      );
    }
    const seconds = (performance.now() - began) / 1000;
    screen.print(
      `Wrote ${formatBytes(bytes)} of weights in ${files} files to ${flags["save-path"]} ` +
        `in ${seconds.toFixed(1)} s`,
    );
    return 0;
  } finally {
    screen.redraw("");
    for (const signal of signals) Deno.removeSignalListener(signal, interrupt);
  }
}
