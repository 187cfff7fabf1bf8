/** Global gradient norm and clipping. @module */
import type { Device } from "../tensor/device.ts";
import type { Parameter, ParameterStore } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Sums the squares of the gradients of a stage in f64. Inf or nan when an element is. */
export class GradientNorm {
  readonly #device: Device;
  readonly #grads: Tensor;
  readonly #ranges: { begin: number; size: number }[] = [];
  readonly #sums: Tensor;

  /**
   * Plans the sums.
   *
   * @param counts Whether a parameter counts here: the second copy of a tied one does not
   */
  constructor(device: Device, store: ParameterStore, counts: (parameter: Parameter) => boolean) {
    if (!store.grads) throw new TypeError("Cannot sum the gradients of a store without gradients");
    this.#device = device;
    this.#grads = store.grads;
    for (const parameter of store.parameters.filter(counts)) {
      const { begin, weight: { size } } = parameter;
      const last = this.#ranges.at(-1);
      if (last && last.begin + last.size === begin) last.size += size;
      else this.#ranges.push({ begin, size });
    }
    this.#sums = device.zeros([Math.max(1, this.#ranges.length)], "f64"); // 0 where none counts
  }

  /** The sum of squares of the gradients as they are now. */
  sumOfSquares(): number {
    const { kernels } = this.#device;
    this.#ranges.forEach(({ begin, size }, i) =>
      kernels.sumSquares(this.#grads.at(begin), this.#sums.at(i), size, this.#grads.code)
    );
    return this.#device.downloadF64(this.#sums).reduce((a, b) => a + b, 0);
  }
}

/** Factor that brings a norm down to `clip`: clip / (norm + 1e-6) when below 1; clip 0 is none. */
export function clipFactor(norm: number, clip: number): number {
  return clip > 0 ? Math.min(1, clip / (norm + 1e-6)) : 1;
}
