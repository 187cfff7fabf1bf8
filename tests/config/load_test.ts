import { assert, assertEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../../src/config/config_error.ts";
import { formatConfig } from "../../src/config/describe.ts";
import { loadConfig, parseConfig } from "../../src/config/load.ts";
import { BASE, changed, problemsOf } from "./base_config.ts";

Deno.test("parseConfig() fills in defaults and what follows", () => {
  const c = parseConfig(BASE, "x.yml");
  assertEquals(
    [c.stages, c.replicas, c.worldSize, c.dtype, c.gradient_accumulation_steps],
    [4, 2, 8, "bf16", 8],
  );
  assertEquals(c.optimizer, {
    type: "AdamW",
    params: { lr: 1e-5, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0 },
    no_wd_kws: ["bias", "norm"],
  });
  assertEquals(c.scheduler, {
    type: "WarmupCosineLR",
    params: { warmup_num_steps: 100, warmup_min_ratio: 0, cos_min_ratio: 0.0001 },
  });
  assertEquals([c.schedule, c.loss_reduction, c.compat, c.seed], ["1f1b", "token", null, 0]);
  assertEquals([c.notices, c.warnings], [[], []]);
  assertEquals(
    ["optimizer.params.lr", "model_topo.parts", "seed", "fp16.enabled"].map((k) => c.source(k)),
    ["x.yml:6:9", "x.yml:19:10", "default", "default"],
  );
});

Deno.test("parseConfig() reports all problems at once", () => {
  const text = changed("lr: 1.0e-5", "lr: fast").replace("n_epoches: 3", "epochs: 3");
  const error = assertThrows(() => parseConfig(text, "x.yml", ["seed=-1", "seed"]), ConfigError);
  assertEquals(
    error.message,
    `\
Cannot start as there are 5 problems:
  1. Cannot apply seed as it must be KEY=VALUE or KEY.KEY=VALUE (--set #2)
  2. Unknown key epochs: did you mean n_epoches? (x.yml:23:1)
  3. Cannot use optimizer.params.lr as it must be a number of at least 0: current value is "fast" (x.yml:6:9)
  4. Cannot start without n_epoches: add it (passes over the data) (x.yml)
  5. Cannot use seed as it must be an integer from 0 to 4294967295: current value is -1 (--set #1)`,
  );
  assertEquals(ConfigError.exitStatus, 2);
});

Deno.test("parseConfig() works out the batch size that was left out", () => {
  const lines = (...keys: string[]) =>
    changed("train_micro_batch_size_per_gpu: 2\ntrain_batch_size: 32\n", keys.join("\n") + "\n");
  const cases: [string[], [number, number, number]][] = [
    [["train_batch_size: 32", "train_micro_batch_size_per_gpu: 2"], [32, 2, 8]],
    [["train_batch_size: 32", "gradient_accumulation_steps: 4"], [32, 4, 4]],
    [["train_micro_batch_size_per_gpu: 3", "gradient_accumulation_steps: 4"], [24, 3, 4]],
    [["train_micro_batch_size_per_gpu: 3"], [6, 3, 1]],
    [["train_batch_size: 32"], [32, 16, 1]],
  ];
  for (const [keys, expected] of cases) {
    const c = parseConfig(lines(...keys), "x.yml");
    assertEquals(
      [c.train_batch_size, c.train_micro_batch_size_per_gpu, c.gradient_accumulation_steps],
      expected,
      keys.join(", "),
    );
  }
});

Deno.test("parseConfig() warns of a pipeline that cannot be filled", () => {
  assertEquals(
    parseConfig(changed("train_batch_size: 32", "train_batch_size: 8"), "x.yml").warnings,
    [
      "2 micro-batches cannot fill 4 pipeline stages, which will be idle 60 % of the time: raise " +
      "train_batch_size or lower train_micro_batch_size_per_gpu (x.yml:2:19)",
    ],
  );
});

Deno.test("parseConfig() averages over micro-batches in compat unless told otherwise", () => {
  assertEquals(parseConfig(BASE, "x.yml", ["compat=gdgpt"]).loss_reduction, "micro_batch");
  const c = parseConfig(BASE, "x.yml", ["compat=gdgpt", "loss_reduction=token"]);
  assertEquals(c.loss_reduction, "token");
  assertEquals(c.warnings, [
    "loss_reduction: token departs from compat: gdgpt, which averages over micro-batches " +
    "(--set #2)",
  ]);
});

Deno.test("parseConfig() takes tf32 for products of f32 alone, and not on the CPU", () => {
  const f32 = changed("enabled: true", "enabled: false") + "f32_products: tf32\n";
  const c = parseConfig(f32, "x.yml");
  assertEquals([c.f32_products, c.warnings], ["tf32", []]);
  assertEquals(parseConfig(BASE, "x.yml").f32_products, "exact");
  assertEquals(parseConfig(f32, "x.yml", ["bf16.enabled=true"]).warnings, [
    "f32_products: tf32 has nothing to work on, as matrices are of bf16 (x.yml:25:15, --set #1)",
  ]);
  assertEquals(problemsOf(f32, ["device=cpu"]), [
    "Cannot use f32_products: tf32 with device: cpu, which multiplies f32 exactly: take " +
    "f32_products: exact, or device: cuda (x.yml:25:15, --set #1)",
  ]);
  assertEquals(problemsOf(f32, ["f32_products=tf23"]), [
    "Cannot use f32_products as it must be one of exact, tf32 (did you mean tf32?): current value " +
    'is "tf23" (--set #1)',
  ]);
});

Deno.test("parseConfig() takes gdGPT's use_flash_attn for attention", () => {
  const cases: [string[], string][] = [
    [[], "flash"],
    [["use_flash_attn=true"], "flash"],
    [["use_flash_attn=false"], "reference"],
    [["attention=reference"], "reference"],
    [["attention=flash", "use_flash_attn=true"], "flash"],
  ];
  for (const [overrides, attention] of cases) {
    const c = parseConfig(BASE, "x.yml", overrides);
    assertEquals(c.attention, attention);
    assertEquals(parseConfig(JSON.stringify(c.values), "saved.yml").attention, attention);
  }
  assertEquals(parseConfig(BASE, "x.yml", ["use_flash_attn=false"]).warnings, [
    "use_flash_attn: false computes attention one query at a time, which is slow: the result of " +
    "attention: flash is the same (--set #1)",
  ]);
  assertEquals(problemsOf(BASE, ["attention=flash", "use_flash_attn=false"]), [
    "Cannot use attention: flash with use_flash_attn: false, which is attention: reference: give " +
    "one of them (--set #1, --set #2)",
  ]);
});

Deno.test("parseConfig() reads JSON indented with tabs", () => {
  const text = JSON.stringify(parseConfig(BASE, "x.yml").values, null, "\t");
  assertEquals(parseConfig(text, "x.json").values, parseConfig(BASE, "x.yml").values);
});

Deno.test("parseConfig() warns of checkpoint keys without checkpoints", () => {
  const warnings = parseConfig(BASE + "keep_last_n: 3\n", "x.yml").warnings;
  assertEquals(warnings, [
    "keep_last_n = 3 has nothing to work on, as save_every_n_steps is 0 and the only checkpoint is " +
    "the last one (x.yml:25:14)",
  ]);
});

Deno.test("parseConfig() takes what YAML 1.1 and other writers write", () => {
  const text = changed("lr: 1.0e-5", "lr: '1e-5'").replace("enabled: true", "enabled: yes") +
    "gradient_clipping: 1e-4\nseed: 1_000\ndevice: cpu\n";
  const c = parseConfig(text, "x.yml");
  assertEquals([c.optimizer.params.lr, c.bf16.enabled, c.gradient_clipping, c.seed], [
    1e-5,
    true,
    1e-4,
    1000,
  ]);
  assertEquals(parseConfig(changed("type: AdamW", "type: adam"), "x.yml").optimizer.type, "AdamW");
});

Deno.test("parseConfig() lets later overrides win and knows where values came from", () => {
  const overrides = ["optimizer.params.lr=1", "optimizer={type: Lion, params: {lr: 2}}", "seed=7"];
  const c = parseConfig(BASE, "x.yml", overrides);
  assertEquals(c.optimizer, {
    type: "Lion",
    params: { lr: 2, betas: [0.9, 0.99], weight_decay: 0, zero_is_negative: null },
    no_wd_kws: [],
  });
  assertEquals(["optimizer.params.lr", "seed", "max_seq_len"].map((k) => c.source(k)), [
    "--set #2",
    "--set #3",
    "x.yml:24:14",
  ]);
});

Deno.test("parseConfig() runs DeepSpeed's ZeRO configuration and names what has no effect", () => {
  const c = parseConfig(
    `\
train_micro_batch_size_per_gpu: 1
train_batch_size: 128
dataloader_drop_last: true
steps_per_print: 20
optimizer: {type: AdamW, params: {lr: 1.0e-5, betas: [0.9, 0.999], eps: 1.0e-8, weight_decay: 4.0e-5}}
scheduler: {type: WarmupCosineLR, params: {warmup_num_steps: 100, warmup_min_ratio: 0.02, cos_min_ratio: 0.2}}
bf16: {enabled: false}
fp16: {enabled: true, auto_cast: false, loss_scale: 0, initial_scale_power: 16, loss_scale_window: 1000, hysteresis: 2, min_loss_scale: 1}
zero_allow_untested_optimizer: true
zero_force_ds_cpu_optimizer: false
zero_optimization:
  stage: 3
  memory_efficient_linear: false
  contiguous_gradients : true
  overlap_comm: true
  reduce_scatter: true
  reduce_bucket_size: 10000000
from_scratch: false
model_path: ./m/
save_path: ./checkpoints/
n_epoches: 3
max_seq_len: 256
data_path: ./dataset.json
use_grad_ckpt: false
`,
    "zero.yml",
  );
  assertEquals([c.stages, c.replicas, c.gradient_accumulation_steps, c.dtype], [1, 1, 128, "f16"]);
  assertEquals(c.notices, [
    "zero_allow_untested_optimizer has no effect: every optimizer here is tested (zero.yml:9:1)",
    "zero_force_ds_cpu_optimizer has no effect: there is one implementation of each optimizer (zero.yml:10:1)",
    "zero_optimization has no effect: every data replica keeps whole weights, gradients and optimizer states; results are those of stage 0 (zero.yml:11:1)",
    "fp16.auto_cast has no effect: token ids need no cast (zero.yml:8:23)",
  ]);
});

Deno.test("parseConfig() accepts what is refused when it is switched off", () => {
  const off = "amp: {enabled: false}\nsparse_gradients: false\nelasticity: {}\nautotuning:\n";
  assertEquals(parseConfig(BASE + off, "x.yml").notices, []);
});

Deno.test("formatConfig() writes a configuration that reads back to the same", () => {
  const first = parseConfig(BASE, "x.yml", ["log_path=a.log", "optimizer.params.eps=1e-8"]);
  const second = parseConfig(formatConfig(first), "saved.yml");
  assertEquals(second.values, first.values);
  assertEquals(formatConfig(second), formatConfig(first));
});

Deno.test("loadConfig() reads every configuration of the repository", () => {
  const dir = new URL("../../configs/", import.meta.url).pathname;
  const files = [...Deno.readDirSync(dir)].map((e) => e.name).filter((n) => n.endsWith(".yml"));
  assert(files.length >= 3);
  for (const file of files) assertEquals(loadConfig(dir + file).warnings, [], file);
});

Deno.test("loadConfig() says why a file cannot be read", () => {
  const dir = Deno.makeTempDirSync();
  try {
    const write = (name: string, data: string | Uint8Array) => {
      Deno.writeFileSync(
        `${dir}/${name}`,
        typeof data === "string" ? new TextEncoder().encode(data) : data,
      );
      return `${dir}/${name}`;
    };
    const cases: [string, string][] = [
      [`${dir}/none.yml`, `Cannot read the configuration ${dir}/none.yml: there is no such file`],
      [dir, `Cannot read the configuration ${dir}: it is a directory, not a file`],
      [write("empty.yml", "# nothing\n"), `${dir}/empty.yml: it is empty`],
      [write("list.yml", "\n- 1\n"), `mapping of keys: current value is [1] (${dir}/list.yml:2:1)`],
      [write("bytes.yml", new Uint8Array([0xff, 0xfe, 0x00])), "it is not UTF-8 text"],
      [write("twice.yml", "seed: 1\nseed: 2\n"), `duplicated mapping key (${dir}/twice.yml:2:1)`],
    ];
    for (const [path, part] of cases) assertThrows(() => loadConfig(path), ConfigError, part);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
