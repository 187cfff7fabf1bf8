/**
 * Keys of DeepSpeed's configuration that have no value here: accepted and named once in the log
 * when they change nothing, refused when they are switched on and would change the result.
 *
 * @see https://www.deepspeed.ai/docs/config-json/
 * @module
 */
import { always, type Foreign, noEffect, unsupported } from "./keys.ts";

const MEMORY = "it tunes DeepSpeed's own memory and communication";
const REPORT = "it reports on DeepSpeed's own parts";
const MONITOR = "metrics go to save_path/metrics.jsonl";

/** Top-level keys of DeepSpeed. */
export const deepspeedKeys: Readonly<Record<string, Foreign>> = {
  zero_allow_untested_optimizer: noEffect("every optimizer here is tested"),
  zero_force_ds_cpu_optimizer: noEffect("there is one implementation of each optimizer"),
  zero_optimization: noEffect(
    "every data replica keeps whole weights, gradients and optimizer states; results are those " +
      "of stage 0",
    [
      "stage",
      "allgather_partitions",
      "allgather_bucket_size",
      "overlap_comm",
      "reduce_scatter",
      "reduce_bucket_size",
      "contiguous_gradients",
      "round_robin_gradients",
      "use_multi_rank_bucket_allreduce",
      "offload_param",
      "offload_optimizer",
      "cpu_offload",
      "cpu_offload_params",
      "cpu_offload_use_pin_memory",
      "sub_group_size",
      "prefetch_bucket_size",
      "param_persistence_threshold",
      "model_persistence_threshold",
      "max_live_parameters",
      "max_reuse_distance",
      "gather_16bit_weights_on_model_save",
      "stage3_prefetch_bucket_size",
      "stage3_param_persistence_threshold",
      "stage3_model_persistence_threshold",
      "stage3_max_live_parameters",
      "stage3_max_reuse_distance",
      "stage3_gather_16bit_weights_on_model_save",
      "stage3_gather_fp16_weights_on_model_save",
      "elastic_checkpoint",
      "ignore_unused_parameters",
      "load_from_fp32_weights",
      "legacy_stage1",
      "memory_efficient_linear",
      "mics_shard_size",
      "mics_hierarchical_params_gather",
      "override_module_apply",
      "pipeline_loading_checkpoint",
      "zero_hpz_partition_size",
      "zero_quantized_weights",
      "zero_quantized_nontrainable_weights",
      "zero_quantized_gradients",
    ],
  ),
  communication_data_type: noEffect("gradients travel and are summed in f32"),
  seq_parallel_communication_data_type: noEffect("there is no sequence parallelism"),
  prescale_gradients: noEffect("gradients are summed in f32, then divided once"),
  gradient_predivide_factor: noEffect("gradients are summed in f32, then divided once"),
  fp32_allreduce: noEffect("gradients are always summed in f32"),
  data_types: noEffect("gradients are accumulated in f32", ["grad_accum_dtype"]),
  disable_allgather: noEffect(MEMORY),
  use_node_local_storage: noEffect("ranks of all nodes see the same checkpoint"),
  activation_checkpointing: noEffect("use_grad_ckpt switches recomputation", [
    "partition_activations",
    "cpu_checkpointing",
    "contiguous_memory_optimization",
    "number_checkpoints",
    "synchronize_checkpoint_boundary",
    "profile",
  ]),
  pipeline: noEffect("model_topo says how the model is split", [
    "stages",
    "partition",
    "seed_layers",
    "activation_checkpoint_interval",
    "pipe_partitioned",
    "grad_partitioned",
  ]),
  checkpoint: noEffect("checkpoints have one file per layer and fit every topology"),
  load_universal_checkpoint: noEffect("checkpoints have one file per layer and fit every topology"),
  aio: noEffect(MEMORY),
  compile: noEffect("kernels are compiled ahead of time"),
  wall_clock_breakdown: noEffect(REPORT),
  memory_breakdown: noEffect(REPORT),
  dump_state: noEffect(REPORT),
  timers: noEffect(REPORT),
  flops_profiler: noEffect(REPORT),
  comms_logger: noEffect(REPORT),
  tensorboard: noEffect(MONITOR),
  wandb: noEffect(MONITOR),
  csv_monitor: noEffect(MONITOR),
  comet: noEffect(MONITOR),
  nebula: noEffect("checkpoints are written as usual"),
  hybrid_engine: noEffect("it concerns inference between training steps"),
  amp: unsupported("apex amp does not exist here: set bf16.enabled or fp16.enabled"),
  sparse_gradients: unsupported("gradients of embeddings are dense here: remove it"),
  sparse_attention: unsupported("attention is dense here: remove it"),
  progressive_layer_drop: unsupported("every layer is trained in every step here: remove it"),
  curriculum_learning: unsupported("the sequence length is fixed here: remove it"),
  data_efficiency: unsupported("the sequence length is fixed here: remove it"),
  quantize_training: unsupported("weights are not quantized here: remove it"),
  compression_training: unsupported("weights are not compressed here: remove it"),
  eigenvalue: unsupported("it belongs to quantize_training: remove it"),
  elasticity: unsupported("the number of ranks is fixed during a run: remove it"),
  autotuning: unsupported("llmpipe plan shows what a configuration costs: remove it"),
};

/** Keys of DeepSpeed inside `fp16`. */
export const deepspeedFp16Keys: Readonly<Record<string, Foreign>> = {
  auto_cast: noEffect("token ids need no cast"),
  fused_optimizer: noEffect("there is one implementation of each optimizer"),
  fp16_master_weights_and_grads: unsupported("master weights are f32 here: remove it"),
};

/** Keys of DeepSpeed inside `bf16`. */
export const deepspeedBf16Keys: Readonly<Record<string, Foreign>> = {
  immediate_grad_update: noEffect("gradients are accumulated in f32 at once"),
};

/** Keys of DeepSpeed inside the `params` of every optimizer. */
export const deepspeedOptimizerKeys: Readonly<Record<string, Foreign>> = {
  torch_adam: noEffect("there is one implementation of each optimizer"),
  fused: noEffect("there is one implementation of each optimizer"),
  foreach: noEffect("there is one implementation of each optimizer"),
  adam_w_mode: always("Adam is AdamW here, with decoupled weight decay: remove it"),
  bias_correction: always("moments are always bias-corrected here: remove it"),
  set_grad_none: noEffect("gradient buffers are kept"),
  fp32_optimizer_states: noEffect("optimizer states are always f32"),
  amsgrad: unsupported("AMSGrad does not exist here: remove it"),
  maximize: unsupported("the loss is minimized here: remove it"),
};
