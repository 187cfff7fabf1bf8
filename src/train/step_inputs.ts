/** The micro-batches of a step, with the factors that turn sums of losses into the loss. @module */
import type { MicroBatch } from "../data/micro_batch.ts";
import { countedRows, loadBalancingLoss } from "../models/load_balance.ts";
import type { ModelDescription } from "../models/model.ts";
import type { MicroBatchInput } from "../pipeline/stage_layers.ts";

/** How the losses of a step are averaged. */
export interface LossPolicy {
  /**
   * token: every trained token of the step weighs the same; micro_batch: every micro-batch does, as
   * in DeepSpeed.
   */
  reduction: "token" | "micro_batch";
  /** Weight of the z-loss, mean of log(p_max)^2; 0 for none. */
  zWeight: number;
  /** Positions the z-loss is averaged over: tokens, or padding as well, as the seed does. */
  zPositions: "tokens" | "all";
  /** Weight of the mean of max(logits)^2 over the positions that predict; 0 for none. */
  topWeight: number;
  /** Weight of the load-balancing loss of experts; 0 to measure it only. */
  balanceWeight: number;
}

/** A micro-batch, and where its rows stand. */
export interface PlacedBatch extends MicroBatch {
  /** [B] number of each row in the order of the run. */
  places: readonly number[];
}

/** The micro-batches of one rank in one step. */
export interface StepInputs {
  /** [M] inputs of the stage; the factors hold the loss scale. */
  inputs: MicroBatchInput[];
  /** [M] share of each micro-batch in the load-balancing loss of the step. */
  shares: number[];
  /** Tokens with a loss, over all replicas. */
  lossTokens: number;
  /** Tokens that are not padding, over all replicas. */
  tokens: number;
}

/**
 * Works out the factors of each micro-batch.
 *
 * @param batches [M] micro-batches of this replica
 * @param replicas Number of replicas (R)
 * @param lossScale Factor of all gradients, 1 unless fp16
 * @param sumOverReplicas Adds numbers up over all replicas
 */
export function makeStepInputs(
  batches: readonly PlacedBatch[],
  policy: LossPolicy,
  { replicas, lossScale, sumOverReplicas }: {
    replicas: number;
    lossScale: number;
    sumOverReplicas: (values: number[]) => number[];
  },
): StepInputs {
  const sum = (count: (batch: MicroBatch) => number) =>
    batches.reduce((total, batch) => total + count(batch), 0);
  const [lossTokens, tokens, predictions] = sumOverReplicas([
    sum((b) => b.lossTokens),
    sum((b) => b.tokens),
    sum(countPredictions),
  ]);
  const share = 1 / (batches.length * replicas); // of one micro-batch
  const byToken = policy.reduction === "token";
  const shares = batches.map((b) => byToken ? b.tokens / Math.max(1, tokens) : share);
  const inputs = batches.map((batch, m): MicroBatchInput => {
    const N = batch.B * batch.S;
    const ceScale = byToken ? 1 / Math.max(1, lossTokens) : share / Math.max(1, batch.lossTokens);
    const all = policy.zPositions === "all";
    const zMean = byToken
      ? 1 / (all ? N / share : Math.max(1, tokens))
      : share / (all ? N : Math.max(1, batch.tokens));
    const z = policy.zWeight * zMean * lossScale;
    const topMean = byToken
      ? 1 / Math.max(1, predictions)
      : share / Math.max(1, countPredictions(batch));
    const top = policy.topWeight * topMean * lossScale;
    const counts = (n: number) => all || batch.segments[n] !== 0;
    return {
      ...batch,
      ceScale: ceScale * lossScale,
      zScales: policy.zWeight > 0
        ? Float32Array.from({ length: N }, (_, n) => counts(n) ? z : 0)
        : undefined,
      topScales: policy.topWeight > 0
        ? Float32Array.from({ length: N }, (_, n) => predicts(batch, n) ? top : 0)
        : undefined,
      balanceScale: policy.balanceWeight * shares[m] * lossScale,
    };
  });
  return { inputs, shares, lossTokens, tokens };
}

/** Whether the next position belongs to the same sample. */
function predicts({ S, segments }: MicroBatch, n: number): boolean {
  return n % S < S - 1 && segments[n] !== 0 && segments[n + 1] === segments[n];
}

function countPredictions(batch: MicroBatch): number {
  return batch.segments.reduce((count, _, n) => count + (predicts(batch, n) ? 1 : 0), 0);
}

/**
 * The part of the step's loss that one replica contributes, in f64: its rows times their factors,
 * without the loss scale.
 *
 * @param rows Losses per row, [M, B*S] each
 */
export function lossShare(
  { inputs }: StepInputs,
  rows: { ce: Float32Array; z: Float32Array; top?: Float32Array | undefined },
  lossScale: number,
): { ce: number; z: number } {
  let [ce, z] = [0, 0];
  inputs.forEach((input, m) => {
    const N = input.B * input.S;
    for (let n = 0; n < N; n++) {
      if (input.targets[n] >= 0) ce += rows.ce[m * N + n] * input.ceScale;
      if (input.zScales) z += rows.z[m * N + n] * input.zScales[n];
      if (input.topScales && rows.top) z += rows.top[m * N + n] ** 2 * input.topScales[n];
    }
  });
  return { ce: ce / lossScale, z: z / lossScale };
}

/**
 * The part of the step's load-balancing loss that one replica contributes, without its weight.
 *
 * @param sums Sums of the routers per micro-batch, [M, 2, E]
 */
export function balanceShare(
  { inputs, shares }: StepInputs,
  sums: Float32Array,
  model: ModelDescription,
): number {
  const size = sums.length / inputs.length;
  return inputs.reduce((total, { segments }, m) => {
    const own = sums.subarray(m * size, (m + 1) * size);
    return total + shares[m] * loadBalancingLoss(own, countedRows(model, segments));
  }, 0);
}
