/**
 * The table of all keys of a training configuration. One line (or call) per key holds its type,
 * default, check and documentation; rules across keys are in rules.ts.
 *
 * @module
 */
import { deepspeedBf16Keys, deepspeedFp16Keys, deepspeedOptimizerKeys } from "./deepspeed_keys.ts";
import {
  bool,
  choice,
  either,
  type Foreign,
  group,
  int,
  type Key,
  list,
  noEffect,
  num,
  oneOf,
  optional,
  path,
  type ValuesOf,
} from "./keys.ts";
import { pythonRegex } from "./python_regex.ts";

const int32 = 2 ** 31 - 1;

/** A pattern in Python's notation; it stays text, so that it can be saved. */
const pattern: Key<string> = {
  doc: "A Python regular expression",
  type: "a Python regular expression",
  read(value, path, reading) {
    if (typeof value !== "string") return reading.fail(path, pattern.type, value);
    try {
      pythonRegex(value);
      return value;
    } catch (error) {
      const why = (error as Error).message.replace(/^Invalid regular expression: /, "");
      return reading.fail(path, `${pattern.type} (${why})`, value);
    }
  },
};

const lr = num({ min: 0, doc: "Learning rate, the base that a schedule multiplies" });
const ratio = (initial: number, doc: string) => num({ min: 0, default: initial, doc });
const beta = num({ min: 0, below: 1, doc: "A decay rate of a moment" });
const betasOf = (b1: number, b2: number) =>
  list(beta, {
    length: 2,
    default: [b1, b2],
    type: "a list of two numbers of at least 0 and less than 1",
    doc: "Decay rates of the first and second moment",
  });
const weightDecay = num({ min: 0, default: 0, doc: "Decoupled weight decay" });
const noWdKws = list(pattern, {
  default: [],
  type: "a list of Python regular expressions",
  doc: "Parameters whose name matches any of these (re.search) do not decay",
});

const oneCycleKeys: Readonly<Record<string, Foreign>> = {
  cycle_first_stair_count: noEffect("the ramp has no stairs, as in DeepSpeed"),
  cycle_second_stair_count: noEffect("the ramp has no stairs, as in DeepSpeed"),
  cycle_min_mom: noEffect("beta1 stays that of the optimizer"),
  cycle_max_mom: noEffect("beta1 stays that of the optimizer"),
  decay_mom_rate: noEffect("beta1 stays that of the optimizer"),
};
const totalSteps: Readonly<Record<string, Foreign>> = {
  total_num_steps: noEffect("a schedule ends with the last step of the run"),
};
const warmupSteps = int({
  min: 0,
  default: 1000,
  doc: "Steps of warm-up; fewer than 2 count as 2",
});
const warmupLr = {
  warmup_min_lr: num({ min: 0, default: 0, doc: "Rate at the start of the warm-up" }),
  warmup_max_lr: num({ min: 0, default: 0.001, doc: "Rate at the end of the warm-up" }),
  warmup_num_steps: warmupSteps,
  warmup_type: oneOf(["log", "linear"], { default: "log", doc: "Curve of the warm-up" }),
};

const optimizer = choice("What updates the weights", {
  AdamW: group("AdamW (Adam is another name of it)", {
    params: group("Settings of AdamW", {
      lr,
      betas: betasOf(0.9, 0.999),
      eps: num({ above: 0, default: 1e-8, doc: "Added to the root of the second moment" }),
      weight_decay: weightDecay,
    }, deepspeedOptimizerKeys),
    no_wd_kws: noWdKws,
  }),
  Lion: group("Lion", {
    params: group("Settings of Lion", {
      lr,
      betas: betasOf(0.9, 0.99),
      weight_decay: weightDecay,
      zero_is_negative: optional(
        bool({ doc: "sign(0) = -1, as DeepSpeed's kernel has it; null: only with compat: gdgpt" }),
      ),
    }, { ...deepspeedOptimizerKeys, eps: noEffect("Lion has no eps") }),
    no_wd_kws: noWdKws,
  }),
}, { Adam: "AdamW" });

const scheduler = choice("How the learning rate changes; without it, it stays the same", {
  WarmupCosineLR: group("Logarithmic warm-up to the full rate, then half a cosine", {
    params: group("Settings of WarmupCosineLR", {
      warmup_num_steps: warmupSteps,
      warmup_min_ratio: ratio(0, "Part of the rate at which the warm-up starts"),
      cos_min_ratio: ratio(0.0001, "Part of the rate at which the cosine ends"),
    }, { ...totalSteps, warmup_type: noEffect("this warm-up is logarithmic, as in DeepSpeed") }),
  }),
  WarmupLR: group("Warm-up, then the same rate", {
    params: group("Settings of WarmupLR", warmupLr, totalSteps),
  }),
  WarmupDecayLR: group("Warm-up, then a line down to 0 at the last step", {
    params: group("Settings of WarmupDecayLR", warmupLr, totalSteps),
  }),
  OneCycle: group("A ramp up and a ramp down, then decay", {
    params: group("Settings of OneCycle", {
      cycle_min_lr: num({ min: 0, doc: "Rate at both ends of the cycle" }),
      cycle_max_lr: num({ min: 0, doc: "Rate between the ramps" }),
      cycle_first_step_size: int({ min: 1, default: 2000, doc: "Steps of the first ramp" }),
      cycle_second_step_size: optional(int({ min: 1, doc: "Steps of the second; null: the same" })),
      decay_step_size: int({ min: 0, default: 0, doc: "Steps of a unit of decay; 0: no decay" }),
      decay_lr_rate: num({ min: 0, default: 0, doc: "Decay of the rate after the cycle" }),
      cycle_momentum: bool({ default: true, doc: "Move beta1 too; must be false here" }),
    }, { ...totalSteps, ...oneCycleKeys }),
  }),
});

const topology = group("The grid of ranks", {
  axes: list(oneOf(["pipe", "data"], { doc: "An axis" }), {
    length: 2,
    default: ["pipe", "data"],
    type: "[pipe, data], in this order",
    doc: "Axes of the grid; the last one varies fastest with the rank",
  }),
  dims: list(int({ min: 1, max: 65535, doc: "Ranks along an axis" }), {
    length: 2,
    default: [1, 1],
    type: "a list of two integers: pipeline stages, data replicas",
    doc: "Pipeline stages and data replicas; their product is the number of ranks",
  }),
});

const partsType = "auto, or a list of how many layers each stage has, none of them 0";
const parts = either<"auto", readonly number[]>(
  oneOf(["auto"], { type: partsType, doc: "Balanced by cost" }),
  list(int({ min: 1, max: 65535, doc: "Layers of a stage" }), {
    type: partsType,
    doc: "Layers of each stage",
  }),
  {
    type: partsType,
    default: "auto",
    isFirst: (value) => typeof value === "string",
    doc: "Layers of each stage, embedding and head counted as one each; auto: balanced by cost",
  },
);

/** Where the work is done. */
type DeviceChoice = "auto" | "cpu" | "cuda" | "cudaemu";

/** Every key of a training configuration. */
export const trainKeys = {
  device: oneOf<DeviceChoice>(["auto", "cpu", "cuda"], {
    default: "auto",
    doc: "auto: cuda if it works here",
    unlisted: ["cudaemu"], // the CUDA backend on the emulation of csrc/emu, for tests
  }),
  threads: int({
    min: 0,
    max: 4096,
    default: 0,
    doc: "CPU threads of a rank; 0: cores / local ranks",
  }),
  train_batch_size: optional(int({ min: 1, max: int32, doc: "Samples of an optimizer step" })),
  train_micro_batch_size_per_gpu: optional(
    int({ min: 1, max: int32, doc: "Samples of a micro-batch, on each data replica" }),
  ),
  gradient_accumulation_steps: optional(
    int({ min: 1, max: int32, doc: "Micro-batches of an optimizer step, on each data replica" }),
  ),
  dataloader_drop_last: bool({ default: true, doc: "Whole batches only (there are no others)" }),
  steps_per_print: int({ min: 1, default: 10, doc: "Steps between two lines of the log" }),
  optimizer,
  scheduler: optional(scheduler),
  gradient_clipping: num({ min: 0, default: 0, doc: "Largest norm of the gradient; 0: any" }),
  bf16: group("bf16 weights and activations, with f32 master weights", {
    enabled: bool({ default: false, doc: "Train in bf16" }),
  }, deepspeedBf16Keys),
  fp16: group("fp16 weights and activations, with f32 master weights and a loss scale", {
    enabled: bool({ default: false, doc: "Train in fp16" }),
    loss_scale: num({ min: 0, default: 0, doc: "Fixed loss scale; 0: dynamic" }),
    initial_scale_power: int({ min: 0, max: 32, default: 16, doc: "Log2 of the first loss scale" }),
    loss_scale_window: int({ min: 1, default: 1000, doc: "Clean steps before the scale doubles" }),
    hysteresis: int({ min: 1, default: 2, doc: "Overflows before the scale halves" }),
    consecutive_hysteresis: bool({ default: false, doc: "Clean steps refill the hysteresis" }),
    min_loss_scale: num({ above: 0, default: 1, doc: "Smallest dynamic loss scale" }),
  }, deepspeedFp16Keys),
  f32_products: oneOf(["exact", "tf32"], {
    default: "exact",
    doc:
      "Products of f32 matrices; tf32: operands of 10 bits, for tensor cores of GPUs from 8.0 on",
  }),
  aux_max_z_loss: group("The auxiliary loss mean((max log_softmax(logits))^2)", {
    weight: num({ min: 0, default: 0, doc: "Its weight; 0: none" }),
  }),
  router_aux_loss_coef: optional(
    num({
      min: 0,
      doc:
        "Weight of the load-balancing loss of experts, which is of the rows of each micro-batch; " +
        "null: as config.json has it",
    }),
  ),
  model_topo: group("How the model is spread over ranks", { process_topology: topology, parts }),
  schedule: oneOf(["1f1b", "gpipe"], {
    default: "1f1b",
    doc: "Order of forward and backward passes",
  }),
  virtual_stages: int({
    min: 1,
    max: 1,
    default: 1,
    type: "1, as interleaved stages cannot be run yet",
    doc: "Model chunks of a rank",
  }),
  from_scratch: bool({ default: false, doc: "Start from random weights instead of model_path's" }),
  model_path: path({ doc: "Directory with config.json, tokenizer and weights (HF or pipeline)" }),
  save_path: path({ doc: "Directory for checkpoints and metrics.jsonl" }),
  save_every_n_steps: int({
    min: 0,
    default: 0,
    doc: "Steps between checkpoints; 0: only the last",
  }),
  keep_last_n: int({ min: 0, default: 0, doc: "Periodic checkpoints to keep; 0: all" }),
  max_restarts: int({ min: 0, default: 0, doc: "Restarts from a checkpoint after a failure" }),
  log_path: optional(path({ doc: "File that also receives the log; null: the terminal only" })),
  n_epoches: int({ min: 1, doc: "Passes over the data" }),
  max_seq_len: int({
    min: 2,
    max: 2 ** 24,
    type: "an integer from 2 to 16777216 (a row of 1 has no token to predict)",
    doc: "Tokens of a row",
  }),
  data_path: path({ doc: "File of samples: a JSON array or JSONL" }),
  shuffle: bool({ default: true, doc: "A new order each epoch; false: the order of the file" }),
  packing: bool({ default: false, doc: "Several samples per row, without attention across them" }),
  seed: int({ min: 0, max: 2 ** 32 - 1, default: 0, doc: "Seed of weights and of the data order" }),
  loss_reduction: oneOf(["token", "micro_batch"], {
    default: "token",
    doc: "Mean of the loss over the tokens of a batch, or of its micro-batches (default of compat)",
  }),
  compat: optional(
    oneOf<"gdgpt">(["gdgpt"], { doc: "Reproduce the arithmetic and order of gdGPT" }),
  ),
  use_grad_ckpt: bool({ default: false, doc: "Recompute activations in the backward pass" }),
  attention: optional(
    oneOf(["flash", "reference"], {
      doc: "flash; or reference: one query at a time, slow, to check the other (default: flash)",
    }),
  ),
  use_flash_attn: optional(bool({ doc: "gdGPT's attention: true is flash, false is reference" })),
};

/** All values of a configuration, as the table reads them. */
export type ConfigValues = ValuesOf<typeof trainKeys>;
