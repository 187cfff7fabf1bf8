/** A small configuration that tests change. @module */
import { assert, assertThrows } from "@std/assert";
import { ConfigError } from "../../src/config/config_error.ts";
import { parseConfig } from "../../src/config/load.ts";

/** A configuration without fault. */
export const BASE = `\
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

/** The problems of a configuration called x.yml. */
export function problemsOf(text: string, overrides: string[] = []): readonly string[] {
  return assertThrows(() => parseConfig(text, "x.yml", overrides), ConfigError).problems;
}

/** BASE with one piece replaced. */
export function changed(from: string, to: string): string {
  assert(BASE.includes(from), from);
  return BASE.replace(from, to);
}
