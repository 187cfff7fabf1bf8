/** AdamW and Lion over the flat parameters of a stage. @module */
import type { Device } from "../tensor/device.ts";
import { DTYPE_CODE } from "../tensor/dtype.ts";
import type { Parameter, ParameterStore } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Settings of an optimizer. */
export type OptimizerSpec =
  & {
    betas: readonly [number, number];
    weightDecay: number;
    /**
     * Rate of an update with zero gradients before the first one, as DeepSpeed's bf16 and fp16
     * wrappers do; undefined for none.
     */
    zeroStepRate?: number | undefined;
  }
  & (
    | { type: "AdamW"; eps: number }
    | {
      type: "Lion"; /** sign(0) = -1, as DeepSpeed's FusedLion has it. */
      zeroIsNegative: boolean;
    }
  );

/** Consecutive elements that are updated with one weight decay. */
interface Run {
  begin: number;
  size: number;
  decay: number;
}

/** Optimizer state of one parameter, f32, for checkpoints. */
export interface ParameterState {
  /** Master weights. */
  master: Tensor;
  /** First moment. */
  expAvg: Tensor;
  /** Second moment; undefined for Lion. */
  expAvgSq: Tensor | undefined;
}

/** An optimizer with f32 master weights and moments. */
export class Optimizer {
  #updates = 0;
  readonly #device: Device;
  readonly #store: ParameterStore;
  readonly #spec: OptimizerSpec;
  readonly #runs: Run[];
  readonly #master: Tensor;
  readonly #expAvg: Tensor;
  readonly #expAvgSq: Tensor | undefined;

  /**
   * Allocates the state: 8 (AdamW) or 4 (Lion) bytes per parameter, and 4 more for the master weights
   * unless the weights are f32 themselves.
   *
   * @param decays Whether weight decay applies to a parameter
   */
  constructor(
    device: Device,
    store: ParameterStore,
    spec: OptimizerSpec,
    decays: (parameter: Parameter) => boolean,
  ) {
    this.#device = device;
    this.#store = store;
    this.#spec = spec;
    const size = [store.size];
    this.#master = store.dtype === "f32" ? store.weights : device.zeros(size, "f32");
    this.#expAvg = device.zeros(size, "f32");
    this.#expAvgSq = spec.type === "AdamW" ? device.zeros(size, "f32") : undefined;
    this.#runs = joinRuns(store, (p) => decays(p) ? spec.weightDecay : 0);
  }

  /** Number of updates done. */
  get updates(): number {
    return this.#updates;
  }

  /** Takes the weights of the store as master weights, once they are loaded; gradients are zero. */
  start(): void {
    const { weights } = this.#store;
    if (this.#master !== weights) {
      const { kernels } = this.#device;
      kernels.cast(this.#master.ptr, weights.ptr, weights.size, DTYPE_CODE.f32, weights.code);
    }
    const { zeroStepRate } = this.#spec;
    if (zeroStepRate !== undefined) this.#update(zeroStepRate, 1, 1);
  }

  /** Goes on after so many updates, once a checkpoint is loaded: takes the master weights as weights. */
  restore(updates: number): void {
    this.#updates = updates;
    const { weights } = this.#store;
    if (this.#master === weights) return;
    const { kernels } = this.#device;
    kernels.cast(weights.ptr, this.#master.ptr, weights.size, weights.code, DTYPE_CODE.f32);
  }

  /**
   * Updates all weights.
   *
   * @param lr Learning rate
   * @param gradScale Factor of the gradients: clipping, and 1 / loss scale
   */
  step(lr: number, gradScale: number): void {
    this.#updates++;
    const before = this.#spec.zeroStepRate === undefined ? 0 : 1;
    this.#update(lr, gradScale, this.#updates + before);
  }

  /** The state of one parameter, as views. */
  state({ begin, spec }: Parameter): ParameterState {
    return {
      master: this.#master.view(begin, spec.shape),
      expAvg: this.#expAvg.view(begin, spec.shape),
      expAvgSq: this.#expAvgSq?.view(begin, spec.shape),
    };
  }

  /** Bytes of master weights and moments. */
  get bytes(): number {
    const master = this.#master === this.#store.weights ? 0 : this.#master.bytes;
    return master + this.#expAvg.bytes + (this.#expAvgSq?.bytes ?? 0);
  }

  #update(lr: number, gradScale: number, count: number): void {
    const { grads, weights } = this.#store;
    if (!grads) throw new TypeError("Cannot update the weights of a store without gradients");
    const spec = this.#spec;
    const [beta1, beta2] = spec.betas;
    for (const { begin, size, decay } of this.#runs) {
      const [g, p, m] = [grads, this.#master, this.#expAvg].map((t) => t.at(begin));
      const w = this.#master === weights ? null : weights.at(begin);
      const { kernels } = this.#device;
      if (spec.type === "Lion") {
        const zero = spec.zeroIsNegative ? 1 : 0;
        kernels.lion(g, p, m, w, size, gradScale, lr, beta1, beta2, decay, zero, weights.code);
        continue;
      }
      kernels.adamw(
        g,
        p,
        m,
        this.#expAvgSq?.at(begin) ?? null,
        w,
        size,
        gradScale,
        lr,
        beta1,
        beta2,
        spec.eps,
        decay,
        1 - beta1 ** count,
        1 - beta2 ** count,
        weights.code,
      );
    }
  }
}

/** Neighbours of equal decay, gaps included: gaps hold zeros, which every update leaves alone. */
function joinRuns(store: ParameterStore, decayOf: (parameter: Parameter) => number): Run[] {
  const runs: Run[] = [];
  store.parameters.forEach((parameter, i) => {
    const end = store.parameters[i + 1]?.begin ?? store.size;
    const decay = decayOf(parameter);
    const last = runs.at(-1);
    if (last?.decay === decay) last.size = end - last.begin;
    else runs.push({ begin: parameter.begin, size: end - parameter.begin, decay });
  });
  return runs;
}
