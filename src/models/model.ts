/** What a model family tells the rest of the program. @module */
import type { Device } from "../tensor/device.ts";
import type { AttentionSpan, KeyValueCache } from "../tensor/ops/attention.ts";
import type { Dropout } from "../tensor/ops/dropout.ts";
import type { RouterBalance } from "../tensor/ops/moe.ts";
import type { Parameter, ParameterSpec, ParameterStore } from "../tensor/parameter.ts";
import type { Tape } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A micro-batch in device memory. */
export interface DeviceBatch {
  /** Sequences. */
  B: number;
  /** Positions of each sequence. */
  S: number;
  /** [N] i32 tokens. */
  ids: Tensor;
  /** [N] i32 position of each token in its sample. */
  positions: Tensor;
  /** Which keys each token sees. */
  span: AttentionSpan;
}

/** What a family changes of the rule that a token sees its sample up to itself. */
export interface SpanRule {
  /** Keys that a token sees at most, its own included; undefined for no limit. */
  window?: number | undefined;
  /** Whether positions count from the beginning of the row, padding included; else of the sample. */
  positions?: "row" | undefined;
  /** Whether padding on the right sees all of its row; else the sample before it. */
  padding?: "sees the row" | undefined;
}

/** The parameters of one layer, by the names it declared. */
export class LayerWeights {
  readonly #store: ParameterStore;
  readonly #layer: number;

  /** The parameters of `layer` in `store`. */
  constructor(store: ParameterStore, layer: number) {
    this.#store = store;
    this.#layer = layer;
  }

  /** One parameter. */
  get(name: string): Parameter {
    return this.#store.get(this.#layer, name);
  }

  /** Parameters declared one after another, as one with all their rows. */
  fused(...names: string[]): Parameter {
    return this.#store.fused(this.#layer, names);
  }
}

/** Everything one layer needs to run. */
export interface LayerRun {
  /** Records the ops. */
  tape: Tape;
  /** The layer's parameters. */
  weights: LayerWeights;
  /** Tokens, positions and masks. */
  batch: DeviceBatch;
  /** Keys and values of earlier positions, when generating. */
  cache?: KeyValueCache | undefined;
  /**
   * Which rows a block returns of those of a text that is continued; all when left out. Keys and
   * values of all are cached in either case.
   */
  returns?: "last row" | undefined;
  /** Statistics of the block's router, when its experts are to be used evenly. */
  balance?: RouterBalance | undefined;
  /** In training: what to drop with probability p at a place of the layer; undefined if p is 0. */
  dropout?: ((place: string, p: number) => Dropout | undefined) | undefined;
}

/** The maths of a model, bound to a device. */
export interface Forward {
  /** Tokens to hidden states [N, D]. */
  embed(run: LayerRun): Tensor;
  /** One transformer block, [N, D] to [N, D], or to [1, D] where the run returns its last row. */
  block(run: LayerRun, h: Tensor): Tensor;
  /** Last hidden states, and the matrix [V, D] that makes logits of them. */
  head(run: LayerRun, h: Tensor): { x: Tensor; w: Parameter };
}

/** A model as its config.json describes it: sizes, parameters, maths. Costs no memory. */
export interface ModelDescription {
  /** `model_type` of config.json. */
  family: string;
  /** V: rows of the embedding. */
  vocabSize: number;
  /** D: width of the hidden states. */
  width: number;
  /** H: query heads. */
  heads: number;
  /** G: key/value heads. */
  kvHeads: number;
  /** K: width of a head. */
  headWidth: number;
  /** Longest sequence the model was made for, if config.json tells. */
  maxPositions: number | undefined;
  /** What a token sees; absent for its sample up to itself. */
  spanRule?: SpanRule;
  /** Experts of each block; absent when there are none. */
  experts?: number;
  /** Weight of the load-balancing loss that config.json asks for; absent for 0. */
  balanceWeight?: number;
  /** Weight in the loss of the mean over predictions of max(logits)^2; absent for none. */
  topWeight?: number | undefined;
  /** Parameters of every pipeline layer: embedding, L blocks, head. */
  layers: readonly (readonly ParameterSpec[])[];
  /** Binds the maths to a device, with tables for sequences of up to `positions`. */
  forward(device: Device, positions: number): Forward;
}
