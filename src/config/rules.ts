/**
 * Rules across keys. Each is a function that runs when all values it needs could be read.
 *
 * @module
 */
import type { ConfigValues } from "./train_keys.ts";

/** Where rules report to. */
export interface Report {
  /** Where a key or value was written: "FILE:line:column", "--set #n" or "default". */
  source(path: string): string;
  /** Whether a key was written, in the file or as an override. */
  given(path: string): boolean;
  /** Reports what makes the run impossible. */
  problem(text: string): void;
  /** Reports what is legal and probably not meant. */
  warning(text: string): void;
}

/** One rule. */
export interface Rule {
  /** The keys without which it cannot be judged. */
  readonly needs: readonly string[];
  /** Reports, and fills in values that follow from others. */
  check(c: ConfigValues, report: Report): void;
}

/** All rules, in the order in which they report. */
export const rules: readonly Rule[] = [
  { needs: ["bf16", "fp16"], check: oneArithmetic },
  { needs: ["fp16"], check: lossScaleBounds },
  { needs: ["f32_products", "device", "bf16", "fp16"], check: f32Products },
  { needs: ["model_topo.process_topology.axes"], check: axesInOrder },
  { needs: ["model_topo"], check: oneEntryPerStage },
  {
    needs: [
      "train_batch_size",
      "train_micro_batch_size_per_gpu",
      "gradient_accumulation_steps",
      "model_topo.process_topology",
    ],
    check: batchSizes,
  },
  { needs: ["optimizer", "scheduler"], check: scheduleBounds },
  { needs: ["save_path", "data_path", "model_path"], check: pathsApart },
  { needs: ["compat", "loss_reduction"], check: compatReduction },
  { needs: ["attention", "use_flash_attn"], check: attentionAlgorithm },
  { needs: ["keep_last_n", "save_every_n_steps", "max_restarts"], check: checkpointKeys },
];

function oneArithmetic(c: ConfigValues, report: Report): void {
  if (!c.bf16.enabled || !c.fp16.enabled) return;
  report.problem(
    "Cannot train in bf16 and fp16 at once: set bf16.enabled or fp16.enabled to false " +
      `(${report.source("bf16.enabled")}, ${report.source("fp16.enabled")})`,
  );
}

/** tf32 needs tensor cores, and f32 matrices to work on. */
function f32Products(c: ConfigValues, report: Report): void {
  if (c.f32_products === "exact") return;
  const asked = `f32_products: ${c.f32_products}`;
  if (c.device === "cpu") {
    report.problem(
      `Cannot use ${asked} with device: cpu, which multiplies f32 exactly: take f32_products: exact, ` +
        `or device: cuda (${report.source("f32_products")}, ${report.source("device")})`,
    );
  }
  for (const key of ["bf16", "fp16"] as const) {
    if (!c[key].enabled) continue;
    report.warning(
      `${asked} has nothing to work on, as matrices are of ${key} ` +
        `(${report.source("f32_products")}, ${report.source(`${key}.enabled`)})`,
    );
  }
}

function lossScaleBounds(c: ConfigValues, report: Report): void {
  const { enabled, loss_scale, initial_scale_power, min_loss_scale } = c.fp16;
  if (!enabled || loss_scale > 0 || 2 ** initial_scale_power >= min_loss_scale) return;
  report.problem(
    "Cannot scale the loss as fp16.min_loss_scale must be at most 2^fp16.initial_scale_power = " +
      `${2 ** initial_scale_power}: current value is ${min_loss_scale} ` +
      `(${report.source("fp16.min_loss_scale")})`,
  );
}

function axesInOrder(c: ConfigValues, report: Report): void {
  const key = "model_topo.process_topology.axes";
  const [first, second] = c.model_topo.process_topology.axes;
  if (first === "pipe" && second === "data") return;
  report.problem(
    `Cannot use ${key} as it must be [pipe, data], in this order: current value is ` +
      `[${first}, ${second}] (${report.source(key)})`,
  );
}

function oneEntryPerStage(c: ConfigValues, report: Report): void {
  const { parts, process_topology } = c.model_topo;
  const stages = process_topology.dims[0]!;
  if (parts === "auto" || parts.length === stages) return;
  report.problem(
    `Cannot split the model as model_topo.parts must have one entry for each of the ${stages} ` +
      `stages of dims: it has ${parts.length} (${report.source("model_topo.parts")})`,
  );
}

/** train_batch_size = micro-batch * accumulation * replicas; what is absent follows. */
function batchSizes(c: ConfigValues, report: Report): void {
  const [stages, replicas] = c.model_topo.process_topology.dims as [number, number];
  const total = c.train_batch_size;
  const micro = c.train_micro_batch_size_per_gpu;
  const steps = c.gradient_accumulation_steps;
  const product = (...n: number[]) => n.reduce((a, b) => a * b);
  if (total === null && micro === null) {
    report.problem(
      "Cannot size the batches without train_micro_batch_size_per_gpu and train_batch_size: " +
        "give at least one of them, better both",
    );
    return;
  }
  if (total === null) {
    c.gradient_accumulation_steps = steps ?? 1;
    c.train_batch_size = product(micro!, c.gradient_accumulation_steps, replicas);
  } else {
    // What one optimizer step consumes apart from the factor that is sought.
    const unit = product(replicas, micro ?? 1, steps ?? 1);
    if (micro !== null && steps !== null && unit !== total) {
      report.problem(
        "Cannot use train_batch_size as it must be train_micro_batch_size_per_gpu * " +
          `gradient_accumulation_steps * data replicas = ${micro} * ${steps} * ${replicas} = ` +
          `${unit}: current value is ${total} (${report.source("train_batch_size")})`,
      );
      return;
    }
    if (total % unit !== 0) {
      const what = micro !== null
        ? `train_micro_batch_size_per_gpu * data replicas = ${micro} * ${replicas}`
        : steps !== null
        ? `gradient_accumulation_steps * data replicas = ${steps} * ${replicas}`
        : "data replicas";
      report.problem(
        `Cannot use train_batch_size as it must be a multiple of ${what} = ${unit}: current ` +
          `value is ${total} (${report.source("train_batch_size")})`,
      );
      return;
    }
    c.train_micro_batch_size_per_gpu = micro ?? total / unit;
    c.gradient_accumulation_steps = steps ?? (micro === null ? 1 : total / unit);
  }
  const M = c.gradient_accumulation_steps!;
  if (M >= stages) return;
  const idle = Math.round(100 * (stages - 1) / (M + stages - 1));
  report.warning(
    `${M} micro-batch${M === 1 ? "" : "es"} cannot fill ${stages} pipeline stages, which will ` +
      `be idle ${idle} % of the time: raise train_batch_size or lower ` +
      `train_micro_batch_size_per_gpu (${report.source("train_batch_size")})`,
  );
}

function scheduleBounds(c: ConfigValues, report: Report): void {
  const { scheduler: s, optimizer } = c;
  if (s === null) return;
  const order = (low: string, high: string, a: number, b: number) => {
    if (a <= b) return;
    report.problem(
      `Cannot use scheduler.params.${low} as it must be at most ${high} = ${b}: current value ` +
        `is ${a} (${report.source(`scheduler.params.${low}`)})`,
    );
  };
  if (s.type === "OneCycle") {
    const p = s.params;
    order("cycle_min_lr", "cycle_max_lr", p.cycle_min_lr, p.cycle_max_lr);
    if (p.cycle_momentum) {
      const key = "scheduler.params.cycle_momentum";
      report.problem(
        `Cannot use ${key} as it must be false, since beta1 stays that of the optimizer: current ` +
          `value is true, which is also the default (${report.source(key)})`,
      );
    }
  } else if (s.type !== "WarmupCosineLR") {
    order("warmup_min_lr", "warmup_max_lr", s.params.warmup_min_lr, s.params.warmup_max_lr);
    if (optimizer.params.lr !== s.params.warmup_max_lr) {
      report.warning(
        `${s.type} runs at scheduler.params.warmup_max_lr = ${s.params.warmup_max_lr}, not at ` +
          `optimizer.params.lr = ${optimizer.params.lr} (${report.source("optimizer.params.lr")})`,
      );
    }
  }
}

/** Nothing that is read may lie where checkpoints are written. */
function pathsApart(c: ConfigValues, report: Report): void {
  const plain = (path: string) => path.replace(/^(\.\/+)+/, "").replace(/\/+$/, "");
  for (const key of ["model_path", "data_path"] as const) {
    if (plain(c[key]) !== plain(c.save_path)) continue;
    report.problem(
      `Cannot save to ${c.save_path} as ${key} is the same place: give save_path another ` +
        `directory (${report.source("save_path")})`,
    );
  }
}

/** gdGPT gives each micro-batch the same weight. */
function compatReduction(c: ConfigValues, report: Report): void {
  if (c.compat === null || c.loss_reduction === "micro_batch") return;
  if (!report.given("loss_reduction")) c.loss_reduction = "micro_batch";
  else {
    report.warning(
      "loss_reduction: token departs from compat: gdgpt, which averages over micro-batches " +
        `(${report.source("loss_reduction")})`,
    );
  }
}

/** gdGPT has a switch where we have a name; what is missing follows from the other. */
function attentionAlgorithm(c: ConfigValues, report: Report): void {
  const meant = c.use_flash_attn === false ? "reference" : "flash";
  if (c.attention === null) {
    c.attention = meant;
    if (meant === "flash") return;
    report.warning(
      "use_flash_attn: false computes attention one query at a time, which is slow: the result of " +
        `attention: flash is the same (${report.source("use_flash_attn")})`,
    );
  } else if (c.use_flash_attn !== null && c.attention !== meant) {
    report.problem(
      `Cannot use attention: ${c.attention} with use_flash_attn: ${c.use_flash_attn}, which is ` +
        `attention: ${meant}: give one of them (${report.source("attention")}, ` +
        `${report.source("use_flash_attn")})`,
    );
  }
}

function checkpointKeys(c: ConfigValues, report: Report): void {
  if (c.save_every_n_steps > 0) return;
  for (const key of ["keep_last_n", "max_restarts"] as const) {
    if (c[key] === 0) continue;
    report.warning(
      `${key} = ${c[key]} has nothing to work on, as save_every_n_steps is 0 and the only ` +
        `checkpoint is the last one (${report.source(key)})`,
    );
  }
}
