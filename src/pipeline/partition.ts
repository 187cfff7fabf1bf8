/**
 * Splits the layers of a model into consecutive stages.
 *
 * `parts` counts layers per stage, with the embedding and the head as one layer each.
 *
 * @module
 */

/** The layers of one stage. */
export interface LayerRange {
  /** First layer. */
  readonly begin: number;
  /** One past the last layer. */
  readonly end: number;
}

/** What a layer costs on one rank. */
export interface LayerLoad {
  /** Time of its forward and backward on one micro-batch, in any unit. */
  readonly time: number;
  /** Bytes it keeps all the time: weights, gradients, optimizer state. */
  readonly stateBytes?: number;
  /** Bytes it keeps for each micro-batch in flight. */
  readonly activationBytes?: number;
}

/** What a partition must respect besides balance. */
export interface PartitionLimits {
  /** Bytes that a stage may use. */
  readonly capacityBytes?: number;
  /** Micro-batches in flight on a stage; default: none count. */
  inFlight?(stage: number): number;
}

/**
 * The layers of each stage.
 *
 * @param parts Layers per stage
 * @param layerCount Blocks + 2
 * @returns One range per stage, in order, without gaps
 * @throws {RangeError} If a stage is empty or the sum is not layerCount
 */
export function layerRanges(parts: readonly number[], layerCount: number): LayerRange[] {
  let end = 0;
  const ranges = parts.map((n, stage) => {
    if (!Number.isSafeInteger(n) || n < 1) {
      throw new RangeError(
        `Cannot split the model as every stage needs a layer: stage ${stage} has ${n}`,
      );
    }
    end += n;
    return { begin: end - n, end };
  });
  if (end !== layerCount) {
    throw new RangeError(
      `Cannot split the model as the sum of parts must be ${layerCount}: current sum is ${end}`,
    );
  }
  return ranges;
}

/**
 * The partition whose slowest stage is fastest: the minimum over all partitions of the maximum over
 * stages of the sum of times. Among the fastest, the one whose fullest stage needs least bytes.
 * Exact, by dynamic programming over (stages, layers); O(P * L^2) at most.
 *
 * @param layers Load of each layer, embedding and head included
 * @param stages P, at most as many as layers
 * @param limits Memory of a stage
 * @returns Layers per stage, sum = layers.length, none 0
 * @throws {RangeError} If there are more stages than layers, or nothing fits into the capacity; then
 *   the message names the smallest capacity that would do
 */
export function balance(
  layers: readonly LayerLoad[],
  stages: number,
  limits: PartitionLimits = {},
): number[] {
  if (stages < 1 || stages > layers.length) {
    throw new RangeError(
      `Cannot split the model as every stage needs a layer: ${layers.length} layers cannot fill ` +
        `${stages} stages`,
    );
  }
  const { capacityBytes = Infinity, inFlight = () => 0 } = limits;
  const time = prefixSums(layers.map((l) => l.time));
  const state = prefixSums(layers.map((l) => l.stateBytes ?? 0));
  const activation = prefixSums(layers.map((l) => l.activationBytes ?? 0));
  const timeOf = (_: number, i: number, j: number) => time[j]! - time[i]!;
  const bytesOf = (stage: number, i: number, j: number) =>
    state[j]! - state[i]! + inFlight(stage) * (activation[j]! - activation[i]!);
  const count = layers.length;
  const fastest = leastMaximum(
    count,
    stages,
    timeOf,
    (p, i, j) => bytesOf(p, i, j) <= capacityBytes,
  );
  if (!fastest) {
    const { maximum } = leastMaximum(count, stages, bytesOf, () => true)!;
    throw new RangeError(
      `Cannot split the model as no stage may need more than ${capacityBytes} bytes: the best ` +
        `partition into ${stages} stages needs ${maximum}`,
    );
  }
  // Sums of floats in another order may differ in the last bits.
  const slowest = fastest.maximum * (1 + 1e-12);
  const smallest = leastMaximum(
    count,
    stages,
    bytesOf,
    (p, i, j) => timeOf(p, i, j) <= slowest && bytesOf(p, i, j) <= capacityBytes,
  );
  return (smallest ?? fastest).parts;
}

/** Minimizes the maximum of `cost(stage, i, j)` over partitions whose stages are all `allowed`. */
function leastMaximum(
  count: number,
  stages: number,
  cost: (stage: number, i: number, j: number) => number,
  allowed: (stage: number, i: number, j: number) => boolean,
): { maximum: number; parts: number[] } | undefined {
  // best[j] is the least maximum over the stages so far when they hold the first j layers.
  let best = Array.from({ length: count + 1 }, (_, j) => j === 0 ? -Infinity : Infinity);
  const cuts: Int32Array[] = [];
  for (let p = 0; p < stages; p++) {
    const next = new Array<number>(count + 1).fill(Infinity);
    const cut = new Int32Array(count + 1);
    for (let j = p + 1; j <= count - (stages - 1 - p); j++) {
      for (let i = j - 1; i >= p; i--) {
        const last = cost(p, i, j);
        // Longer stages only cost more.
        if (last >= next[j]! || !allowed(p, i, j)) break;
        const maximum = Math.max(best[i]!, last);
        if (maximum < next[j]!) {
          next[j] = maximum;
          cut[j] = i;
        }
      }
    }
    cuts.push(cut);
    best = next;
  }
  const maximum = best[count]!;
  if (maximum === Infinity) return undefined;
  const parts: number[] = [];
  for (let p = stages - 1, j = count; p >= 0; p--) {
    const i = cuts[p]![j]!;
    parts.unshift(j - i);
    j = i;
  }
  return { maximum, parts };
}

function prefixSums(values: readonly number[]): Float64Array {
  const sums = new Float64Array(values.length + 1);
  values.forEach((v, i) => sums[i + 1] = sums[i]! + v);
  return sums;
}
