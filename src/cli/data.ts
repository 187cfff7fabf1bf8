/** `llmpipe data`. @module */
import { loadConfig } from "../config/load.ts";
import { dataWarnings } from "../data/data_warnings.ts";
import { describeData, hasChat, renderFirstRow } from "../data/describe_data.ts";
import { dumpSamples } from "../data/dump_samples.ts";
import { prepareDataset, type PrepareProgress } from "../data/prepare_dataset.ts";
import { readFlags, repeated, toggle } from "./flags.ts";
import { modelDirectory } from "./local_model.ts";
import { writeOut } from "./standard_output.ts";

/** Runs the command. Returns the exit status. */
export async function data(args: string[]): Promise<number> {
  const { _: [file], dump, set } = readFlags(args, { dump: toggle, set: repeated }, ["CONFIG.yml"]);
  const config = loadConfig(file!, set);
  const { data_path: dataPath, max_seq_len: maxSeqLen } = config;
  const modelPath = await modelDirectory(config.model_path, "config");
  if (dump) {
    await printSamples(dumpSamples({ dataPath, modelPath, maxLength: maxSeqLen }));
    return 0;
  }
  const isTerminal = Deno.stderr.isTerminal();
  const prepared = await prepareDataset({
    dataPath,
    modelPath,
    maxSeqLen,
    packing: config.packing,
    onProgress: isTerminal ? showProgress : undefined,
  });
  if (isTerminal) writeError("\r\x1b[K");
  writeOut(
    `${describeData(dataPath, prepared, config.packing)}\n\n` +
      "The first sample (the model learns what stands between << and >>):\n\n" +
      `${renderFirstRow(prepared.path, modelPath)}\n`,
  );
  for (const warning of dataWarnings(prepared.stats, maxSeqLen, hasChat(modelPath))) {
    console.error(`\nWarning: ${warning}`);
  }
  return 0;
}

async function printSamples(samples: AsyncIterable<unknown>): Promise<void> {
  let lines = "";
  for await (const sample of samples) {
    lines += JSON.stringify(sample) + "\n";
    if (lines.length < 1 << 16) continue;
    writeOut(lines);
    lines = "";
  }
  writeOut(lines);
}

function showProgress({ phase, bytes, totalBytes, samples }: PrepareProgress): void {
  const share = `${Math.floor(100 * bytes / totalBytes)} %`;
  const text = {
    hash: `Reading ${share}`,
    wait: "Waiting for another run that tokenizes the same data",
    tokenize: `Tokenizing ${share}, ${samples} samples`,
  }[phase];
  writeError(`\r\x1b[K${text}`);
}

function writeError(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
}
