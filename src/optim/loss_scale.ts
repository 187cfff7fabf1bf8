/**
 * The loss scale of fp16 training.
 *
 * Losses are multiplied by the scale so that small gradients survive fp16; gradients are divided by
 * it in f32. When a gradient overflows, the update is skipped: weights, optimizer state and the
 * learning-rate schedule stay, the step counts.
 *
 * "hysteresis", the documented rule: an overflow first uses up the hysteresis, then halves the scale;
 * `window` clean steps in a row double it and refill the hysteresis (every clean step refills it
 * when `refillAlways`). An overflow at the smallest scale, which cannot be halved, is an error.
 * "immediate", the rule of DeepSpeed's optimizer without ZeRO: every overflow halves the scale, down
 * to the smallest and no further; the scale doubles when the clean steps since the last overflow,
 * minus one, are a multiple of `window`.
 *
 * @see https://www.deepspeed.ai/docs/config-json/ (FP16 training options)
 * @module
 */

/** How a loss scale behaves. */
export interface LossScaleRule {
  /** Scale that never changes; 0 for a dynamic one. */
  readonly fixed: number;
  /** First dynamic scale. */
  readonly initial: number;
  /** Clean steps after which the scale doubles. */
  readonly window: number;
  /** Overflows after which the scale halves; 1: at once. */
  readonly hysteresis: number;
  /** Every clean step refills the hysteresis, not only a doubling. */
  readonly refillAlways: boolean;
  /** Smallest dynamic scale. */
  readonly least: number;
  /** Which rule changes the scale. */
  readonly rule: "hysteresis" | "immediate";
}

/** What a checkpoint keeps of a loss scale. */
export interface LossScaleState {
  /** The scale. */
  readonly scale: number;
  /** Steps so far, skipped ones included. */
  readonly steps: number;
  /** The last step that overflowed, from 0; -1 for none. */
  readonly lastOverflow: number;
  /** Overflows left before the scale halves. */
  readonly hysteresis: number;
  /** Steps that were skipped. */
  readonly skipped: number;
}

/** A loss scale that follows the overflows of a run. */
export class LossScale {
  readonly #rule: LossScaleRule;
  #state: LossScaleState;

  /**
   * A scale at the start of a run, or where a checkpoint left it.
   *
   * @param rule How it behaves
   * @param state As saved in a checkpoint
   */
  constructor(rule: LossScaleRule, state?: LossScaleState) {
    this.#rule = rule;
    this.#state = state ?? {
      scale: rule.fixed > 0 ? rule.fixed : rule.initial,
      steps: 0,
      lastOverflow: -1,
      hysteresis: rule.hysteresis,
      skipped: 0,
    };
  }

  /** The factor of the loss in the next step. */
  get scale(): number {
    return this.#state.scale;
  }

  /** What a checkpoint keeps. */
  get state(): LossScaleState {
    return this.#state;
  }

  /** Goes on from what a checkpoint kept. */
  restore(state: LossScaleState): void {
    this.#state = state;
  }

  /**
   * Ends a step.
   *
   * @param overflow Whether a gradient was not finite, so that the update was skipped
   * @throws {RangeError} If the scale cannot be lowered any more
   */
  update(overflow: boolean): void {
    this.#state = afterStep(this.#rule, this.#state, overflow);
  }
}

/**
 * The rule of a configuration's `fp16` keys.
 *
 * @param fp16 Its values
 * @param compat "gdgpt" for the rule of the optimizer that its configuration selects
 * @returns The rule
 */
export function lossScaleRule(
  fp16: {
    loss_scale: number;
    initial_scale_power: number;
    loss_scale_window: number;
    hysteresis: number;
    consecutive_hysteresis: boolean;
    min_loss_scale: number;
  },
  compat: "gdgpt" | null,
): LossScaleRule {
  return {
    fixed: fp16.loss_scale,
    initial: 2 ** fp16.initial_scale_power,
    window: fp16.loss_scale_window,
    hysteresis: fp16.hysteresis,
    refillAlways: fp16.consecutive_hysteresis,
    least: fp16.min_loss_scale,
    rule: compat === "gdgpt" ? "immediate" : "hysteresis",
  };
}

function afterStep(rule: LossScaleRule, s: LossScaleState, overflow: boolean): LossScaleState {
  const steps = s.steps + 1;
  const skipped = s.skipped + (overflow ? 1 : 0);
  const lastOverflow = overflow ? s.steps : s.lastOverflow;
  const next = { ...s, steps, skipped, lastOverflow };
  if (rule.fixed > 0) return next;
  const halved = Math.max(s.scale / 2, rule.least);
  if (rule.rule === "immediate") {
    if (overflow) return { ...next, scale: halved };
    const clean = s.steps - s.lastOverflow - 1;
    return clean > 0 && clean % rule.window === 0 ? { ...next, scale: s.scale * 2 } : next;
  }
  if (overflow) {
    if (s.hysteresis > 1) return { ...next, hysteresis: s.hysteresis - 1 };
    if (s.scale === rule.least) throw atLeast(rule, s, skipped);
    return { ...next, scale: halved };
  }
  const doubles = (s.steps - s.lastOverflow) % rule.window === 0;
  return {
    ...next,
    scale: doubles ? s.scale * 2 : s.scale,
    hysteresis: doubles || rule.refillAlways ? rule.hysteresis : s.hysteresis,
  };
}

function atLeast(rule: LossScaleRule, s: LossScaleState, skipped: number): RangeError {
  return new RangeError(
    `Cannot continue as gradients overflow fp16 at the smallest loss scale, ${rule.least}: ` +
      `step ${
        s.steps + 1
      } is skipped step number ${skipped}. Train in bf16 (bf16.enabled: true), ` +
      "lower the learning rate or lengthen the warm-up; the last checkpoint is good",
  );
}
