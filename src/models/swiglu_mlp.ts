/** The MLP of llama: two matrices up, one of them the gate, and one down. @see arXiv:2002.05202 @module */
import { swiglu } from "../tensor/ops/activation.ts";
import type { ParameterSpec } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LayerRun } from "./model.ts";
import { Projection } from "./projection.ts";

/** What an MLP is made of. */
export interface MlpSizes {
  /** Width of the hidden states. */
  D: number;
  /** Width inside. */
  F: number;
  /** Deviation of the normal numbers that matrices start as. */
  std: number;
}

/** What follows the attention in a block. */
export interface Mlp {
  /** What it declares. */
  parameters: readonly ParameterSpec[];
  /** [N, D] to [N, D]. */
  forward(run: LayerRun, x: Tensor): Tensor;
}

/**
 * down(silu(gate(x)) * up(x))
 *
 * @param sizes.bias Whether each of the three matrices has a bias
 */
export function swigluMlp({ D, F, std, bias }: MlpSizes & { bias: boolean }): Mlp {
  const up = new Projection({ "mlp.gate_proj": F, "mlp.up_proj": F }, D, { std, bias });
  const down = new Projection({ "mlp.down_proj": D }, F, { std, bias });
  return {
    parameters: [...up.parameters, ...down.parameters],
    forward: (run, x) => down.forward(run, swiglu(run.tape, up.forward(run, x))),
  };
}
