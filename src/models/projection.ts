/** Matrices of the same input that run as one product, with biases or without. @module */
import { linear } from "../tensor/ops/linear.ts";
import type { ParameterSpec } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { normal, zeros } from "./declare.ts";
import type { LayerRun } from "./model.ts";

/** Declares matrices, such as those of queries, keys and values, and multiplies by all of them. */
export class Projection {
  /** The matrices, then their biases: each kind stands in one piece. */
  readonly parameters: readonly ParameterSpec[];
  readonly #matrices: readonly string[];
  readonly #biases: readonly string[];

  /**
   * Declares matrices that start as normal numbers, and biases that start as 0.
   *
   * @param rows Rows of each matrix by its name without `.weight`
   * @param columns Columns of each matrix
   * @param options.std Deviation of the normal numbers
   * @param options.bias Whether each matrix has a bias
   */
  constructor(
    rows: Readonly<Record<string, number>>,
    columns: number,
    { std, bias }: { std: number; bias: boolean },
  ) {
    const parts = Object.entries(rows);
    const matrices = parts.map(([name, n]) => normal(`${name}.weight`, n, columns, std));
    const biases = bias ? parts.map(([name, n]) => zeros(`${name}.bias`, n)) : [];
    this.parameters = [...matrices, ...biases];
    this.#matrices = matrices.map(({ name }) => name);
    this.#biases = biases.map(({ name }) => name);
  }

  /** x [N, columns] to [N, sum of rows]. */
  forward({ tape, weights }: LayerRun, x: Tensor): Tensor {
    const bias = this.#biases.length > 0 ? weights.fused(...this.#biases) : undefined;
    return linear(tape, x, weights.fused(...this.#matrices), bias);
  }
}
