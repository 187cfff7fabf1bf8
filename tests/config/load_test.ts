import { assert, assertEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../../src/config/config_error.ts";
import { formatConfig, keyLines } from "../../src/config/describe.ts";
import { loadConfig, parseConfig } from "../../src/config/load.ts";

const BASE = `\
train_micro_batch_size_per_gpu: 2
train_batch_size: 32
optimizer:
  type: AdamW
  params:
    lr: 1.0e-5
    betas: [0.9, 0.999]
  no_wd_kws: ['bias', 'norm']
scheduler:
  type: WarmupCosineLR
  params:
    warmup_num_steps: 100
bf16:
  enabled: true
model_topo:
  process_topology:
    axes: [pipe, data]
    dims: [4, 2]
  parts: [3, 2, 2, 3]
model_path: ./model
save_path: ./out
data_path: ./data.json
n_epoches: 3
max_seq_len: 1024
`;

function problemsOf(text: string, overrides: string[] = []): readonly string[] {
  return assertThrows(() => parseConfig(text, "x.yml", overrides), ConfigError).problems;
}

/** BASE with one piece replaced. */
function changed(from: string, to: string): string {
  assert(BASE.includes(from), from);
  return BASE.replace(from, to);
}

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

interface Case {
  from: string;
  to: string;
  problems: string[];
}

const cases: Case[] = [
  // Kinds and ranges.
  {
    from: "train_batch_size: 32",
    to: "train_batch_size: many",
    problems: [
      'Cannot use train_batch_size as it must be an integer from 1 to 2147483647: current value is "many" (x.yml:2:19)',
    ],
  },
  {
    from: "n_epoches: 3",
    to: "n_epoches: 1.5",
    problems: [
      "Cannot use n_epoches as it must be an integer of at least 1: current value is 1.5 (x.yml:23:12)",
    ],
  },
  {
    from: "max_seq_len: 1024",
    to: "max_seq_len: 1",
    problems: [
      "Cannot use max_seq_len as it must be an integer from 2 to 16777216: current value is 1 (x.yml:24:14)",
    ],
  },
  {
    from: "lr: 1.0e-5",
    to: "lr: -1",
    problems: [
      "Cannot use optimizer.params.lr as it must be a number of at least 0: current value is -1 (x.yml:6:9)",
    ],
  },
  {
    from: "lr: 1.0e-5",
    to: "lr: .nan",
    problems: [
      "Cannot use optimizer.params.lr as it must be a number of at least 0: current value is NaN (x.yml:6:9)",
    ],
  },
  {
    from: "lr: 1.0e-5",
    to: "lr: 1,5",
    problems: [
      'Cannot use optimizer.params.lr as it must be a number of at least 0: current value is "1,5" (x.yml:6:9)',
    ],
  },
  {
    from: "betas: [0.9, 0.999]",
    to: "betas: [0.9, 1.0]",
    problems: [
      "Cannot use optimizer.params.betas.1 as it must be a number of at least 0 and less than 1: current value is 1 (x.yml:7:18)",
    ],
  },
  {
    from: "betas: [0.9, 0.999]",
    to: "betas: 0.9",
    problems: [
      "Cannot use optimizer.params.betas as it must be a list of two numbers of at least 0 and less than 1: current value is 0.9 (x.yml:7:12)",
    ],
  },
  {
    from: "betas: [0.9, 0.999]",
    to: "eps: 0",
    problems: [
      "Cannot use optimizer.params.eps as it must be a number of more than 0: current value is 0 (x.yml:7:10)",
    ],
  },
  {
    from: "enabled: true",
    to: "enabled: 1",
    problems: [
      "Cannot use bf16.enabled as it must be true or false: current value is 1 (x.yml:14:12)",
    ],
  },
  {
    from: "model_path: ./model",
    to: "model_path:",
    problems: [
      "Cannot use model_path as it must be the path of a file or directory: current value is null (x.yml:20:1)",
    ],
  },
  {
    from: "data_path: ./data.json",
    to: "data_path: [a, b]",
    problems: [
      'Cannot use data_path as it must be the path of a file or directory: current value is ["a","b"] (x.yml:22:12)',
    ],
  },
  {
    from: "save_path: ./out",
    to: "save_path: 2024-01-02",
    problems: [
      'Cannot use save_path as it must be the path of a file or directory: current value is "2024-01-02T00:00:00.000Z" (x.yml:21:12)',
    ],
  },
  {
    from: "no_wd_kws: ['bias', 'norm']",
    to: "no_wd_kws: ['bias', '(norm']",
    problems: [
      'Cannot use optimizer.no_wd_kws.1 as it must be a Python regular expression (/(norm/: Unterminated group): current value is "(norm" (x.yml:8:23)',
    ],
  },
  {
    from: "no_wd_kws: ['bias', 'norm']",
    to: "no_wd_kws: bias",
    problems: [
      'Cannot use optimizer.no_wd_kws as it must be a list of Python regular expressions: current value is "bias" (x.yml:8:14)',
    ],
  },
  {
    from: "bf16:\n  enabled: true",
    to: "bf16: true",
    problems: [
      "Cannot use bf16 as it must be a mapping of keys: current value is true (x.yml:13:7)",
    ],
  },
  // Words.
  {
    from: "type: AdamW",
    to: "type: AdamV",
    problems: [
      'Cannot use optimizer.type as it must be one of AdamW, Lion (did you mean AdamW?): current value is "AdamV" (x.yml:4:9)',
    ],
  },
  {
    from: "  type: AdamW\n",
    to: "",
    problems: ["Cannot start without optimizer.type: add it (one of AdamW, Lion) (x.yml:4:3)"],
  },
  {
    from: "type: WarmupCosineLR",
    to: "type: Cosine",
    problems: [
      'Cannot use scheduler.type as it must be one of WarmupCosineLR, WarmupLR, WarmupDecayLR, OneCycle: current value is "Cosine" (x.yml:10:9)',
    ],
  },
  {
    from: "n_epoches: 3",
    to: "n_epoches: 3\nschedule: gpip",
    problems: [
      'Cannot use schedule as it must be one of 1f1b, gpipe (did you mean gpipe?): current value is "gpip" (x.yml:24:11)',
    ],
  },
  {
    from: "n_epoches: 3",
    to: "n_epoches: 3\nvirtual_stages: 2",
    problems: [
      "Cannot use virtual_stages as it must be 1, as interleaved stages cannot be run yet: current value is 2 (x.yml:24:17)",
    ],
  },
  {
    from: "n_epoches: 3",
    to: "n_epoches: 3\ncompat: deepspeed",
    problems: [
      'Cannot use compat as it must be gdgpt: current value is "deepspeed" (x.yml:24:9)',
    ],
  },
  // Topology.
  {
    from: "axes: [pipe, data]",
    to: "axes: [data, pipe]",
    problems: [
      "Cannot use model_topo.process_topology.axes as it must be [pipe, data], in this order: current value is [data, pipe] (x.yml:17:11)",
    ],
  },
  {
    from: "axes: [pipe, data]",
    to: "axes: [pipe, model]",
    problems: [
      'Cannot use model_topo.process_topology.axes.1 as it must be one of pipe, data: current value is "model" (x.yml:17:18)',
    ],
  },
  {
    from: "dims: [4, 2]",
    to: "dims: [4]",
    problems: [
      "Cannot use model_topo.process_topology.dims as it must be a list of two integers: pipeline stages, data replicas: current value is [4] (x.yml:18:11)",
    ],
  },
  {
    from: "dims: [4, 2]",
    to: "dims: [4, 0]",
    problems: [
      "Cannot use model_topo.process_topology.dims.1 as it must be an integer from 1 to 65535: current value is 0 (x.yml:18:15)",
    ],
  },
  {
    from: "parts: [3, 2, 2, 3]",
    to: "parts: [3, 2, 5]",
    problems: [
      "Cannot split the model as model_topo.parts must have one entry for each of the 4 stages of dims: it has 3 (x.yml:19:10)",
    ],
  },
  {
    from: "parts: [3, 2, 2, 3]",
    to: "parts: [3, 0, 4, 3]",
    problems: [
      "Cannot use model_topo.parts.1 as it must be an integer from 1 to 65535: current value is 0 (x.yml:19:14)",
    ],
  },
  {
    from: "parts: [3, 2, 2, 3]",
    to: "parts: best",
    problems: [
      'Cannot use model_topo.parts as it must be auto: current value is "best" (x.yml:19:10)',
    ],
  },
  {
    from: "parts: [3, 2, 2, 3]",
    to: "parts: 4",
    problems: [
      "Cannot use model_topo.parts as it must be a list of how many layers each stage has, none of them 0: current value is 4 (x.yml:19:10)",
    ],
  },
  // Batches.
  {
    from: "train_batch_size: 32",
    to: "train_batch_size: 30",
    problems: [
      "Cannot use train_batch_size as it must be a multiple of train_micro_batch_size_per_gpu * data replicas = 2 * 2 = 4: current value is 30 (x.yml:2:19)",
    ],
  },
  {
    from: "train_batch_size: 32",
    to: "train_batch_size: 2",
    problems: [
      "Cannot use train_batch_size as it must be a multiple of train_micro_batch_size_per_gpu * data replicas = 2 * 2 = 4: current value is 2 (x.yml:2:19)",
    ],
  },
  {
    from: "train_batch_size: 32",
    to: "train_batch_size: 32\ngradient_accumulation_steps: 4",
    problems: [
      "Cannot use train_batch_size as it must be train_micro_batch_size_per_gpu * gradient_accumulation_steps * data replicas = 2 * 4 * 2 = 16: current value is 32 (x.yml:2:19)",
    ],
  },
  {
    from: "train_micro_batch_size_per_gpu: 2\ntrain_batch_size: 32\n",
    to: "gradient_accumulation_steps: 4\n",
    problems: [
      "Cannot size the batches without train_micro_batch_size_per_gpu and train_batch_size: give at least one of them, better both",
    ],
  },
  // Other rules.
  {
    from: "bf16:\n  enabled: true",
    to: "bf16: {enabled: true}\nfp16: {enabled: true}",
    problems: [
      "Cannot train in bf16 and fp16 at once: set bf16.enabled or fp16.enabled to false (x.yml:13:17, x.yml:14:17)",
    ],
  },
  {
    from: "bf16:\n  enabled: true",
    to: "fp16: {enabled: true, initial_scale_power: 3, min_loss_scale: 16}",
    problems: [
      "Cannot scale the loss as fp16.min_loss_scale must be at most 2^fp16.initial_scale_power = 8: current value is 16 (x.yml:13:63)",
    ],
  },
  {
    from: "type: WarmupCosineLR\n  params:\n    warmup_num_steps: 100",
    to: "type: WarmupLR\n  params:\n    {warmup_min_lr: 1.0e-4, warmup_max_lr: 1.0e-5}",
    problems: [
      "Cannot use scheduler.params.warmup_min_lr as it must be at most warmup_max_lr = 0.00001: current value is 0.0001 (x.yml:12:21)",
    ],
  },
  {
    from: "type: WarmupCosineLR\n  params:\n    warmup_num_steps: 100",
    to: "type: OneCycle\n  params:\n    {cycle_min_lr: 0, cycle_max_lr: 1}",
    problems: [
      "Cannot use scheduler.params.cycle_momentum as it must be false, since beta1 stays that of the optimizer: current value is true, which is also the default (x.yml)",
    ],
  },
  {
    from: "data_path: ./data.json",
    to: "data_path: out/",
    problems: [
      "Cannot save to ./out as data_path is the same place: give save_path another directory (x.yml:21:12)",
    ],
  },
  // Absent and unknown keys.
  {
    from: "max_seq_len: 1024\n",
    to: "",
    problems: ["Cannot start without max_seq_len: add it (tokens of a row) (x.yml)"],
  },
  {
    from: "    lr: 1.0e-5\n",
    to: "",
    problems: [
      "Cannot start without optimizer.params.lr: add it (learning rate, the base that a schedule multiplies) (x.yml:6:5)",
    ],
  },
  {
    from: "max_seq_len: 1024",
    to: "max_seq_length: 1024",
    problems: [
      "Unknown key max_seq_length: did you mean max_seq_len? (x.yml:24:1)",
      "Cannot start without max_seq_len: add it (tokens of a row) (x.yml)",
    ],
  },
  {
    from: "    lr: 1.0e-5",
    to: "    lr: 1.0e-5\n    learning_rate: 1",
    problems: [
      "Unknown key optimizer.params.learning_rate: known here are lr, betas, eps, weight_decay (x.yml:7:5)",
    ],
  },
  {
    from: "n_epoches: 3",
    to: "n_epoches: 3\nwarmup_min_ratio: 0.1",
    problems: [
      "Unknown key warmup_min_ratio: did you mean scheduler.params.warmup_min_ratio? (x.yml:24:1)",
    ],
  },
  {
    from: "n_epoches: 3",
    to: "n_epoches: 3\n__proto__: 1",
    problems: ["Unknown key __proto__ (x.yml:24:1)"],
  },
  {
    from: "n_epoches: 3",
    to: "n_epoches: 3\n7: 1",
    problems: ["Unknown key 7 (x.yml:24:1)"],
  },
  // DeepSpeed's keys.
  {
    from: "n_epoches: 3",
    to: "n_epoches: 3\namp: {enabled: true, opt_level: O1}",
    problems: [
      "Cannot use amp as apex amp does not exist here: set bf16.enabled or fp16.enabled (x.yml:24:1)",
    ],
  },
  {
    from: "n_epoches: 3",
    to: "n_epoches: 3\nsparse_gradients: true",
    problems: [
      "Cannot use sparse_gradients as gradients of embeddings are dense here: remove it (x.yml:24:1)",
    ],
  },
  {
    from: "n_epoches: 3",
    to: "n_epoches: 3\nzero_optimization: {stage: 1, overlap_com: true}",
    problems: [
      "Unknown key zero_optimization.overlap_com: did you mean zero_optimization.overlap_comm? (x.yml:24:31)",
    ],
  },
  {
    from: "lr: 1.0e-5",
    to: "lr: 1.0e-5\n    adam_w_mode: false",
    problems: [
      "Cannot use optimizer.params.adam_w_mode as Adam is AdamW here, with decoupled weight decay: remove it (x.yml:7:5)",
    ],
  },
];

for (const { from, to, problems } of cases) {
  const shown = to.trim().split("\n").at(-1) || `without ${from.trim()}`;
  Deno.test(`parseConfig() refuses ${shown}`, () => {
    assertEquals(problemsOf(changed(from, to)), problems);
  });
}

Deno.test("parseConfig() refuses a mapping and, unless it is text, nonsense, at every key", () => {
  for (const { path, type, initial } of keyLines()) {
    if (initial === "" || / \(.*\)$/.test(path) || type.startsWith("a mapping")) continue;
    const wrong = type.startsWith("the path") ? ["{x: 1}"] : ["{x: 1}", "'?'", "[[]]"];
    for (const value of wrong) {
      const problems = problemsOf(BASE, [`${path}=${value}`]);
      assertEquals(problems.length, 1, `${path}=${value}: ${problems}`);
      assert(problems[0]!.startsWith(`Cannot use ${path}`), problems[0]);
      assert(problems[0]!.endsWith("(--set #1)"), problems[0]);
    }
  }
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
    params: { lr: 2, betas: [0.9, 0.99], weight_decay: 0 },
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
