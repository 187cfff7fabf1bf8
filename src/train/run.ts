/** A training run from its configuration to its end: prepares, starts the ranks, shows what they do. @module */
import { join } from "@std/path";
import { claimSavePath, findLatest, removeUnfinished } from "../checkpoint/save_path.ts";
import { readTrainerState } from "../checkpoint/trainer_state.ts";
import { ConfigError } from "../config/config_error.ts";
import { loadConfig, type TrainConfig } from "../config/load.ts";
import type { PrepareProgress } from "../data/prepare_dataset.ts";
import { nameFile, writeTextDurably } from "../formats/file_bytes.ts";
import type { RankMessage } from "../launch/messages.ts";
import { runRanks } from "../launch/supervisor.ts";
import { formatBytes } from "../monitor/format_bytes.ts";
import { Log } from "../monitor/log.ts";
import { availableMemory } from "../monitor/available_memory.ts";
import { type MemoryRow, memoryTable, totalBytes } from "../monitor/memory_table.ts";
import { MetricsWriter, readStepMetrics } from "../monitor/metrics.ts";
import { Progress } from "../monitor/progress.ts";
import { Screen, stderrTerminal } from "../monitor/terminal.ts";
import {
  chooseBackend,
  type ChosenBackend,
  requireProducts,
  requireType,
} from "../tensor/choose_backend.ts";
import { rateSpec, scheduleWarning } from "../optim/lr_schedule.ts";
import { lossPolicy, memoryRow } from "./layout.ts";
import { withLocalModel } from "./local_model.ts";
import { checkStart, describeConfigured, type PreparedRun, prepareRun } from "./prepare.ts";
import { checkResume, findStart } from "./start.ts";

/** What to run. */
export interface TrainOptions {
  /** The configuration file. */
  configPath: string;
  /** `KEY=VALUE` each. */
  overrides: readonly string[];
  /** Program and arguments that start this program again. */
  program: readonly string[];
  /** `auto`, or the checkpoint to go on from. */
  resume?: string | undefined;
}

/**
 * Trains.
 *
 * @returns Exit status: 0, or 1 when a rank failed
 * @throws {ConfigError} With what is wrong; nothing was started or overwritten
 */
export async function runTraining(options: TrainOptions): Promise<number> {
  const given = loadConfig(options.configPath, options.overrides);
  using file = openLogFile(given.log_path);
  const screen = new Screen(stderrTerminal(), (lines) => file?.write(lines));
  const log = new Log({ print: (line) => screen.print(line) });
  for (const notice of given.notices) log.info(notice);
  for (const warning of given.warnings) log.warn(warning);

  const chosen = chooseBackend(given.device, given.worldSize);
  requireType(chosen, given.dtype);
  requireProducts(chosen, given.f32_products);
  const start = findStart(given, options.resume);
  const needsWeights = start.dir === undefined && !given.from_scratch;
  const config = await withLocalModel(given, { needsWeights, screen, log });
  const model = describeConfigured(config);
  if (start.dir === undefined) checkStart(config, model);
  else for (const text of checkResume(start.dir, config, model)) log.warn(text);
  using _claim = claimSavePath(config.save_path, { resume: start.isInside });
  for (const fault of start.passedOver) log.warn(fault);
  const run = await prepareRun(
    config,
    model,
    chosen.backend,
    (progress) => screen.redraw(describeProgress(progress)),
  );
  screen.redraw("");
  describeRun(log, config, run, chosen);
  return await superviseWithRestarts(config, run, start.dir, options.program, { screen, log });
}

/** Runs the ranks; after a failure starts them again from the last checkpoint, max_restarts times. */
async function superviseWithRestarts(
  config: TrainConfig,
  run: PreparedRun,
  resume: string | undefined,
  program: readonly string[],
  display: { screen: Screen; log: Log },
): Promise<number> {
  const { log } = display;
  for (let restarts = 0;; restarts++) {
    const done = resume === undefined ? 0 : readTrainerState(resume).step;
    if (resume !== undefined) log.info(`Going on after step ${done} from ${resume}`);
    if (done >= run.plan.steps) {
      log.info(`Nothing is left to do as the run has ${run.plan.steps} steps`);
      return 0;
    }
    const status = await supervise(config, run, { resume, done }, program, display);
    if (status !== 1 || restarts >= config.max_restarts) return status;
    resume = findLatest(config.save_path).dir ?? resume;
    log.warn(`Restart ${restarts + 1} of ${config.max_restarts}`);
  }
}

async function supervise(
  config: TrainConfig,
  { plan, memory }: PreparedRun,
  { resume, done }: { resume: string | undefined; done: number },
  program: readonly string[],
  { screen, log }: { screen: Screen; log: Log },
): Promise<number> {
  const planPath = join(config.save_path, "run.json");
  writeTextDurably(planPath, JSON.stringify({ ...plan, resume }, null, 1));
  const metricsPath = join(config.save_path, "metrics.jsonl");
  using metrics = new MetricsWriter(metricsPath, { afterStep: done });
  const progress = new Progress(screen, {
    totalSteps: plan.steps,
    doneSteps: done,
    stepsPerPrint: config.steps_per_print,
    samplesPerStep: config.train_batch_size,
  });
  try {
    return await runRanks({
      worldSize: config.worldSize,
      command: () => [...program, "rank", planPath],
      ...(config.threads ? { threads: config.threads } : {}),
      onMessage: (_, message) => hear(message),
      onLine: (rank, _, line) =>
        screen.print(config.worldSize > 1 ? `[rank ${rank}] ${line}` : line),
      print: (text) => screen.print(text),
    });
  } finally {
    progress.finish();
    removeUnfinished(config.save_path);
  }

  function hear(message: RankMessage): void {
    if (message.type === "log") return log.write(message.level, message.text);
    if (message.type !== "metrics") return;
    const step = readStepMetrics(message.values);
    try {
      metrics.write(step);
    } catch (error) {
      throw nameFile(metricsPath, error);
    }
    progress.step(step);
    if (step.step === done + 1) {
      log.info(
        `Memory after the first step, planned and measured\n${
          memoryTable(memory.map((row, p) => memoryRow(p, row)), step.memory)
        }`,
      );
    }
  }
}

function describeRun(
  log: Log,
  config: TrainConfig,
  run: PreparedRun,
  { backend, deviceBytes }: ChosenBackend,
): void {
  const { plan, memory } = run;
  const cached = run.isCached ? ", tokenized before" : "";
  log.info(`Data: ${run.samples} samples in ${run.rows} rows${cached}`);
  if (run.model.experts && lossPolicy(config, run.model).balanceWeight === 0) {
    log.info(
      "aux_loss, how evenly the experts are used, is measured and not trained: set " +
        "router_aux_loss_coef, or output_router_logits in config.json",
    );
  }
  const warning = scheduleWarning(rateSpec(config, plan.steps));
  if (warning) log.warn(warning);
  log.info(
    `${plan.steps} steps of ${config.train_batch_size} rows on ${config.worldSize} ranks, ` +
      `parts [${plan.parts.join(", ")}], ${config.dtype}, on ${backend}`,
  );
  const rows = memory.map((row, p) => memoryRow(p, row));
  log.info(`Memory of a rank, by stage\n${memoryTable(rows)}`);
  expectMemory(config, rows, deviceBytes);
}

function describeProgress({ phase, bytes, totalBytes, samples }: PrepareProgress): string {
  if (phase === "wait") return "Waiting for another run that tokenizes the same data";
  const part = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
  return phase === "hash" ? `Hashing the data: ${part}` : `Tokenizing: ${part}, ${samples} samples`;
}

/** The file that receives the log as well. @throws {ConfigError} If it cannot be written */
function openLogFile(
  path: string | null,
): (Disposable & { write(lines: string): void }) | undefined {
  if (path === null) return undefined;
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { append: true, create: true });
  } catch (cause) {
    throw new ConfigError(`Cannot write log_path ${path}: ${(cause as Error).message}`, { cause });
  }
  return {
    write(lines) {
      let bytes = new TextEncoder().encode(lines);
      while (bytes.length) bytes = bytes.subarray(file.writeSync(bytes));
    },
    [Symbol.dispose]: () => file.close(),
  };
}

/** Refuses a run that this machine cannot hold, before anything is loaded. */
function expectMemory(
  config: TrainConfig,
  rows: readonly MemoryRow[],
  deviceBytes: number | undefined,
): void {
  const advice =
    "lower train_micro_batch_size_per_gpu or max_seq_len, set use_grad_ckpt: true, or " +
    "train in bf16";
  if (deviceBytes !== undefined) {
    const most = Math.max(...rows.map(totalBytes));
    if (most <= deviceBytes) return;
    throw new ConfigError([
      `Cannot start as a rank of stage ${
        rows.findIndex((row) => totalBytes(row) === most)
      } needs ` +
      `${formatBytes(most)} and a device has ${formatBytes(deviceBytes)}: ${advice}`,
    ]);
  }
  const needed = rows.reduce((sum, row) => sum + totalBytes(row), 0) * config.replicas;
  const available = availableMemory() ?? Infinity;
  if (needed <= available) return;
  throw new ConfigError([
    `Cannot start as the ranks need ${formatBytes(needed)} together and this machine has ` +
    `${formatBytes(available)} left: ${advice}`,
  ]);
}
