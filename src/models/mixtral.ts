/** Mixtral: llama with experts in place of the MLP. @see arXiv:2401.04088 @module */
import { swiglu } from "../tensor/ops/activation.ts";
import { linear } from "../tensor/ops/linear.ts";
import { combineRows, expertLinear, gatherRows, route } from "../tensor/ops/moe.ts";
import {
  type ModelConfig,
  readBoolean,
  readInteger,
  readNotNegative,
  requireZero,
} from "./config_json.ts";
import { normal } from "./declare.ts";
import { llamaLike } from "./llama.ts";
import type { ModelDescription } from "./model.ts";
import type { Mlp, MlpSizes } from "./swiglu_mlp.ts";

/** What transformers takes where config.json has no such key, and llama takes something else. */
const DEFAULTS = {
  max_position_embeddings: 131072,
  num_key_value_heads: 8,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
};

/**
 * Describes a mixtral model.
 *
 * @param given config.json; keys as in transformers 4 or 5
 * @throws {ConfigError} On a missing, wrong or unsupported key
 */
export function mixtral(given: ModelConfig): ModelDescription {
  const config: ModelConfig = { ...DEFAULTS, ...given };
  const E = readInteger(config, "num_local_experts", { max: 1024 });
  const top = readInteger(config, "num_experts_per_tok", { max: E });
  requireZero(config, "router_jitter_noise");
  const window = (config.sliding_window ?? undefined) === undefined
    ? undefined
    : readInteger(config, "sliding_window");
  const coefficient = readNotNegative(config, "router_aux_loss_coef", 0.001);
  return {
    ...llamaLike(config, { family: "mixtral", window, mlp: (sizes) => experts(sizes, E, top) }),
    experts: E,
    balanceWeight: readBoolean(config, "output_router_logits", false) ? coefficient : 0,
  };
}

/** Names of the experts as the paper has them: w1 is the gate, w3 the other half, w2 the way back. */
function experts({ D, F, std }: MlpSizes, E: number, top: number): Mlp {
  const each = (names: readonly string[]) =>
    Array.from(
      { length: E },
      (_, e) => names.map((name) => `block_sparse_moe.experts.${e}.${name}.weight`),
    ).flat();
  const [up, down] = [each(["w1", "w3"]), each(["w2"])];
  const share = top / E;
  return {
    parameters: [
      normal("block_sparse_moe.gate.weight", E, D, std),
      ...up.map((name) => ({ ...normal(name, F, D, std), share })),
      ...down.map((name) => ({ ...normal(name, D, F, std), share })),
    ],
    forward({ tape, weights, balance }, x) {
      const logits = linear(tape, x, weights.get("block_sparse_moe.gate.weight"));
      const routing = route(tape, logits, top, balance);
      const rows = gatherRows(tape, x, routing);
      const gates = expertLinear(tape, rows, weights.fused(...up), routing);
      const y = expertLinear(tape, swiglu(tape, gates), weights.fused(...down), routing);
      return combineRows(tape, y, routing);
    },
  };
}
