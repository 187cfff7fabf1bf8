import { assert, assertEquals } from "@std/assert";
import { keyLines } from "../../src/config/describe.ts";
import { BASE, changed, problemsOf } from "./base_config.ts";

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
      "Cannot use max_seq_len as it must be an integer from 2 to 16777216 (a row of 1 has no token to predict): current value is 1 (x.yml:24:14)",
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
    to: "lr: &x [*x]",
    problems: [
      "Cannot use optimizer.params.lr as it must be a number of at least 0: current value is a list that holds itself (x.yml:6:13)",
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
      'Cannot use model_topo.parts as it must be auto, or a list of how many layers each stage has, none of them 0: current value is "best" (x.yml:19:10)',
    ],
  },
  {
    from: "parts: [3, 2, 2, 3]",
    to: "parts: 4",
    problems: [
      "Cannot use model_topo.parts as it must be auto, or a list of how many layers each stage has, none of them 0: current value is 4 (x.yml:19:10)",
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

Deno.test("parseConfig() names the override that gave a key which the file does not have", () => {
  assertEquals(problemsOf(BASE, ["seed.x=1", "nonsense.y=2"]), [
    "Unknown key nonsense (--set #2)",
    'Cannot use seed as it must be an integer from 0 to 4294967295: current value is {"x":1} (--set #1)',
  ]);
});

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
