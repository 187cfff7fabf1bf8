/**
 * Learning rates as DeepSpeed's schedulers compute them.
 *
 * A schedule is a function of i = 0, 1, 2 ... with w = max(2, warmup_num_steps) and T the number of
 * updates of the run. Warm-up curves g(i) for i < w: log: ln(i + 1) / ln(w), linear: i / w.
 *
 *   WarmupCosineLR  i < w: lr * (a + (1 - a) * g(i))             a = warmup_min_ratio, g log
 *                   else:  lr * (c + (1 - c) * (1 + cos(pi * (i - w) / (T - w))) / 2)
 *                                                                c = cos_min_ratio
 *   WarmupLR        min + (max - min) * (i < w ? g(i) : 1)
 *   WarmupDecayLR   min + (max - min) * (i < w ? g(i) : max(0, (T - i) / max(1, T - w)))
 *   OneCycle        min + (max - min) * (a line 0 -> 1 -> 0 over the two ramps at i), then
 *                   min / (1 + decay_lr_rate * (i - both ramps) / decay_step_size)
 *
 * Updates are counted from 1. Update k runs at schedule(k - 1). DeepSpeed steps its scheduler after
 * the optimizer and not at the start, so that update 1 runs at the optimizer's full rate and update
 * k >= 2 at schedule(k - 2); order "deepspeed" reproduces that. OneCycle is the same in both.
 *
 * @see https://deepspeed.readthedocs.io/en/latest/schedulers.html
 * @module
 */
import type { TrainConfig } from "../config/load.ts";

/** A schedule with its settings, as configured; null for a rate that stays the same. */
export type Scheduler = TrainConfig["scheduler"];

/** What a rate depends on. */
export interface RateSpec {
  /** The schedule. */
  readonly scheduler: Scheduler;
  /** The optimizer's rate. */
  readonly lr: number;
  /** Number of updates of the run (T). */
  readonly totalSteps: number;
  /** Which value of the schedule an update runs at. */
  readonly order: "schedule" | "deepspeed";
}

/**
 * What a configuration says about the rate.
 *
 * @param config The configuration
 * @param totalSteps Number of updates of the run
 * @returns What {@linkcode learningRate} needs
 */
export function rateSpec(config: TrainConfig, totalSteps: number): RateSpec {
  const { scheduler, optimizer, compat } = config;
  const order = compat === "gdgpt" ? "deepspeed" : "schedule";
  return { scheduler, lr: optimizer.params.lr, totalSteps, order };
}

/**
 * The learning rate of one update. Updates skipped for an overflow do not count.
 *
 * @param spec The schedule
 * @param update From 1
 * @returns The rate
 * @throws {RangeError} If update is not a positive integer, or lies behind the end of a cosine that
 *   has no length (T = w)
 */
export function learningRate(spec: RateSpec, update: number): number {
  if (!Number.isSafeInteger(update) || update < 1) {
    throw new RangeError(`Cannot find a learning rate as updates count from 1: got ${update}`);
  }
  const { scheduler, lr, totalSteps, order } = spec;
  if (scheduler === null) return lr;
  if (scheduler.type === "OneCycle") return oneCycle(scheduler.params, update - 1);
  if (order === "deepspeed" && update === 1) return lr;
  const i = update - (order === "deepspeed" ? 2 : 1);
  const w = Math.max(2, scheduler.params.warmup_num_steps);
  if (scheduler.type === "WarmupCosineLR") {
    const { warmup_min_ratio, cos_min_ratio } = scheduler.params;
    if (i < w) return lr * (warmup_min_ratio + (1 - warmup_min_ratio) * logCurve(i, w));
    if (totalSteps === w) {
      throw new RangeError(
        `Cannot find the learning rate of update ${update} as the schedule ends with its warm-up ` +
          `at ${w}`,
      );
    }
    const half = (1 + Math.cos(Math.PI * (i - w) / (totalSteps - w))) / 2;
    return lr * Math.max(0, cos_min_ratio + (1 - cos_min_ratio) * half);
  }
  const { warmup_min_lr: low, warmup_max_lr: high, warmup_type } = scheduler.params;
  let part = 1;
  if (i < w) part = warmup_type === "log" ? logCurve(i, w) : i / w;
  else if (scheduler.type === "WarmupDecayLR") {
    part = Math.max(0, (totalSteps - i) / Math.max(1, totalSteps - w));
  }
  return low + (high - low) * part;
}

/**
 * What is odd about a schedule, once the number of updates is known.
 *
 * @param spec The schedule
 * @returns One sentence, or undefined
 */
export function scheduleWarning({ scheduler, totalSteps }: RateSpec): string | undefined {
  if (scheduler === null) return undefined;
  const [key, warmup] = scheduler.type === "OneCycle"
    ? ["cycle_first_step_size", scheduler.params.cycle_first_step_size] as const
    : ["warmup_num_steps", scheduler.params.warmup_num_steps] as const;
  if (warmup < totalSteps) return undefined;
  return `The learning rate never reaches its maximum as scheduler.params.${key} is ${warmup} and ` +
    `the run has ${totalSteps} steps`;
}

type OneCycleParams = Extract<Scheduler, { type: "OneCycle" }>["params"];

function oneCycle(c: OneCycleParams, position: number): number {
  const first = c.cycle_first_step_size;
  const total = first + (c.cycle_second_step_size ?? first);
  const { cycle_min_lr: low, cycle_max_lr: high } = c;
  // The position that ends the cycle belongs to the next one, as in the original.
  if (position <= total) {
    const x = position / total - Math.floor(position / total);
    const ratio = first / total;
    return low + (high - low) * (x <= ratio ? x / ratio : (x - 1) / (ratio - 1));
  }
  if (c.decay_step_size === 0 || c.decay_lr_rate === 0) return low;
  return low / (1 + c.decay_lr_rate * (position - total) / c.decay_step_size);
}

function logCurve(i: number, w: number): number {
  return Math.log(i + 1) / Math.log(w);
}
