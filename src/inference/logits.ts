/** Logits, loss and gradients of a batch: what other implementations are compared with. @module */
import { ConfigError } from "../config/config_error.ts";
import { openModel } from "../checkpoint/model_source.ts";
import { writeSafetensors } from "../formats/safetensors.ts";
import { causalSpans, uploadBatch } from "../models/batch.ts";
import { countedRows, LoadBalance, loadBalancingLoss } from "../models/load_balance.ts";
import { checkSource, loadWeights } from "../models/load_weights.ts";
import { LayerWeights, type ModelDescription } from "../models/model.ts";
import { Arena, Pool, UNBOUNDED } from "../tensor/arena.ts";
import { chooseBackend, type DeviceChoice, requireType } from "../tensor/choose_backend.ts";
import { type AttentionAlgorithm, Device } from "../tensor/device.ts";
import type { FloatType } from "../tensor/dtype.ts";
import { matmul } from "../tensor/ops/linear.ts";
import { linearCrossEntropy, type LossRows } from "../tensor/ops/loss.ts";
import { type Parameter, ParameterStore } from "../tensor/parameter.ts";
import { Tape } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkTokens, countTargets, type LabelledBatch, readBatch } from "./batch_file.ts";

/** What to compute. */
export interface LogitsOptions {
  /** Model directory, Hugging Face or pipeline layout. */
  modelPath: string;
  /** safetensors: input_ids, attention_mask, optionally labels, each [B, S] i64. */
  input: string;
  /** safetensors to write. */
  output: string;
  /** Weight of the seed's aux_max_z_loss, over all positions; 0 for none. */
  zLoss: number;
  /** HF names of the gradients to write. */
  grads: "all" | readonly string[];
  /** Arithmetic. */
  dtype: FloatType;
  /** How attention is computed; default flash. */
  attention?: AttentionAlgorithm;
  /** Where the work is done (default auto). */
  device?: DeviceChoice | undefined;
}

/**
 * Runs one batch forward, and backward if gradients are asked for, and writes `logits` [B, S, V] f32,
 * `loss` [1] f32 when labels were given, and `grad.NAME` f32.
 *
 * @returns The loss, if labels were given
 * @throws {ConfigError} On a batch or model that cannot be read, or a gradient that does not exist
 */
export function computeLogits(options: LogitsOptions): number | undefined {
  const batch = readBatch(options.input);
  using source = openModel(options.modelPath);
  const model = checkSource(source);
  const names = (p: Parameter) => source.hfName(p.layer, p.spec.name);
  checkTokens(batch, model, options.input);
  const needsGrads = options.grads === "all" || options.grads.length > 0;
  if (needsGrads && !batch.targets) {
    throw new ConfigError([`Cannot compute gradients of ${options.input} as it must hold labels`]);
  }

  const plan = run(Device.dry(), model, batch, options, undefined);
  const chosen = chooseBackend(options.device ?? "auto");
  requireType(chosen, options.dtype);
  const { backend } = chosen;
  using device = Device.open({ backend, attention: options.attention ?? "flash" });
  const result = run(device, model, batch, options, {
    arenaBytes: plan.arena.peakBytes,
    poolBytes: plan.pool.peakBytes,
    load: (store) => loadWeights(device, store, source),
  });

  const { store, logits, losses, balance } = result;
  const wanted = options.grads === "all" ? store.parameters.map(names) : options.grads;
  const byName = new Map(store.parameters.map((p) => [names(p), p]));
  const unknown = wanted.filter((name) => !byName.has(name));
  if (unknown.length) {
    throw new ConfigError(unknown.map((name) => `Cannot find the parameter ${name} in the model`));
  }
  const balanceLoss = balance
    ? loadBalancingLoss(device.downloadF32(balance.sums), countedRows(model, batch.segments))
    : 0;
  const loss = losses &&
    lossOf(device, batch, losses, { zLoss: options.zLoss, topWeight: model.topWeight ?? 0 }) +
      (model.balanceWeight ?? 0) * balanceLoss;
  const entry = (name: string, shape: readonly number[], values: Float32Array<ArrayBuffer>) => ({
    name,
    dtype: "F32" as const,
    shape: [...shape],
    chunks: () => [new Uint8Array(values.buffer)],
  });
  writeSafetensors(options.output, [
    entry("logits", [batch.B, batch.S, model.vocabSize], device.downloadF32(logits)),
    ...(loss === undefined ? [] : [entry("loss", [1], Float32Array.of(loss))]),
    ...wanted.map((name) => {
      const { grad } = byName.get(name)!;
      return entry(`grad.${name}`, grad!.shape, device.downloadF32(grad!));
    }),
  ]);
  return loss;
}

interface RunMemory {
  arenaBytes: number;
  poolBytes: number;
  load(store: ParameterStore): void;
}

function run(
  device: Device,
  model: ModelDescription,
  batch: LabelledBatch,
  options: LogitsOptions,
  memory: RunMemory | undefined,
) {
  const { B, S, targets } = batch;
  const train = targets !== undefined;
  const layers = model.layers.map((parameters, layer) => ({ layer, parameters }));
  const store = new ParameterStore(device, layers, { dtype: options.dtype, train });
  memory?.load(store);
  const arena = new Arena(memory ? device.region(memory.arenaBytes) : UNBOUNDED);
  const pool = new Pool(memory ? device.region(memory.poolBytes) : UNBOUNDED);
  const forward = model.forward(device, S);
  const tape = new Tape(device, arena, pool, train ? "train" : "inference");
  const uploaded = uploadBatch(tape, batch, causalSpans(batch, model.spanRule));
  const blocks = layers.length - 2;
  const balance = model.balanceWeight && train
    ? new LoadBalance(tape, model, batch, blocks, model.balanceWeight)
    : undefined;
  const context = (layer: number) => ({
    tape,
    batch: uploaded,
    weights: new LayerWeights(store, layer),
    balance: layer > 0 && layer <= blocks ? balance?.block(layer - 1) : undefined,
  });
  let h = forward.embed(context(0));
  for (let layer = 1; layer < layers.length - 1; layer++) h = forward.block(context(layer), h);
  const { x, w } = forward.head(context(layers.length - 1), h);
  const logits = tape.empty([B * S, model.vocabSize], "f32");
  matmul(tape, x, w.weight, logits, { transposeB: true });
  const losses = targets && linearCrossEntropy(tape, x, w, {
    targets: tape.constant(targets, [B * S]),
    ceScale: 1 / Math.max(1, countTargets(targets)),
    zScales: tape.constant(new Float32Array(B * S).fill(options.zLoss / (B * S)), [B * S]),
    topScales: model.topWeight
      ? tape.constant(topScales(batch, model.topWeight), [B * S])
      : undefined,
  });
  balance?.addBlocks();
  balance?.complete();
  if (losses) tape.backward();
  return { store, arena, pool, logits, losses, balance };
}

function lossOf(
  device: Device,
  batch: LabelledBatch,
  losses: LossRows,
  { zLoss, topWeight }: { zLoss: number; topWeight: number },
): number {
  const { B, S, targets } = batch;
  const sum = (tensor: Tensor) => device.downloadF32(tensor).reduce((a, b) => a + b, 0);
  const scales = topScales(batch, topWeight);
  const top = losses.top
    ? device.downloadF32(losses.top).reduce((sum, m, n) => sum + m * m * scales[n], 0)
    : 0;
  return sum(losses.ce) / countTargets(targets!) + zLoss * sum(losses.z) / (B * S) + top;
}

/** Factor of each squared largest logit: as the models that have it, over all rows but the last. */
function topScales({ B, S }: LabelledBatch, weight: number): Float32Array {
  const scale = weight / Math.max(1, B * (S - 1));
  return Float32Array.from({ length: B * S }, (_, n) => n % S < S - 1 ? scale : 0);
}
