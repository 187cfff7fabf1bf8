/** What one stage computes on a micro-batch: its layers, and the losses behind the last. @module */
import type { HostBatch } from "../models/batch.ts";
import type { LoadBalance } from "../models/load_balance.ts";
import {
  type DeviceBatch,
  type Forward,
  LayerWeights,
  type ModelDescription,
} from "../models/model.ts";
import type { Device } from "../tensor/device.ts";
import type { FloatType } from "../tensor/dtype.ts";
import type { Dropout } from "../tensor/ops/dropout.ts";
import { linearCrossEntropy } from "../tensor/ops/loss.ts";
import { ParameterStore } from "../tensor/parameter.ts";
import { streamSeed } from "../tensor/stream_seed.ts";
import type { Tape } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A micro-batch, and what its losses count. */
export interface MicroBatchInput extends HostBatch {
  /** [B*S] next tokens, negative for no loss. */
  targets: Int32Array;
  /** Factor of each row's cross-entropy in the gradient. */
  ceScale: number;
  /** [B*S] factor of each row's z-loss in the gradient. */
  zScales?: Float32Array | undefined;
  /** [B*S] factor of each row's squared largest logit in the gradient. */
  topScales?: Float32Array | undefined;
  /** Factor of the micro-batch's load-balancing loss in the gradient; undefined for 0. */
  balanceScale?: number;
  /** [B] number of each sequence in the order of the run, on which depends what dropout drops. */
  places: readonly number[];
}

/** What makes up a stage. */
export interface StageSpec {
  /** The model. */
  model: ModelDescription;
  /** First layer of the stage. */
  from: number;
  /** One past the last layer. */
  to: number;
  /** Storage type of weights and activations. */
  dtype: FloatType;
  /** Sequences of a micro-batch. */
  B: number;
  /** Positions of a sequence. */
  S: number;
  /** Micro-batches of a step. */
  M: number;
  /** Activation arenas: most micro-batches in flight. */
  slots: number;
  /** Recompute the blocks in the backward instead of keeping their activations. */
  checkpointing: boolean;
  /** Of dropout. */
  seed: number;
}

/** A micro-batch on its way through a stage. */
export interface MicroBatchRun {
  /** Records the ops. */
  tape: Tape;
  /** Its number in the step. */
  micro: number;
  /** What it holds. */
  input: MicroBatchInput;
  /** The same on the device. */
  batch: DeviceBatch;
  /** Statistics of the routers; undefined without experts. */
  balance: LoadBalance | undefined;
}

/** The layers of a stage on a device, with their parameters. */
export class StageLayers {
  /** Which layers of which model, and for what sizes. */
  readonly spec: StageSpec;
  /** Their parameters. */
  readonly store: ParameterStore;
  readonly #device: Device;
  readonly #forward: Forward;
  readonly #losses: { ce: Tensor; z: Tensor; top: Tensor | undefined } | undefined;
  readonly #balance: Tensor | undefined;

  /** Allocates parameters, gradients, tables and what the losses of a step are kept in. */
  constructor(device: Device, spec: StageSpec) {
    const { model, from, to, dtype, B, S, M } = spec;
    this.spec = spec;
    this.#device = device;
    const layers = model.layers.slice(from, to).map((parameters, i) => ({
      layer: from + i,
      parameters,
    }));
    this.store = new ParameterStore(device, layers, { dtype, train: true });
    this.#forward = model.forward(device, S);
    const rows = () => device.tensor([M, B * S], "f32");
    this.#losses = this.isLast
      ? { ce: rows(), z: rows(), top: model.topWeight ? rows() : undefined }
      : undefined;
    const { experts } = model;
    this.#balance = this.isLast && experts ? device.tensor([M, 2, experts], "f32") : undefined;
  }

  /** Whether the embedding is among them. */
  get isFirst(): boolean {
    return this.spec.from === 0;
  }

  /** Whether the head is among them. */
  get isLast(): boolean {
    return this.spec.to === this.spec.model.layers.length;
  }

  /** How many of them are blocks. */
  get blocks(): number {
    const { model, from, to } = this.spec;
    return Math.max(0, Math.min(to, model.layers.length - 1) - Math.max(1, from));
  }

  /**
   * Runs the layers on a micro-batch; the last stage keeps its losses.
   *
   * @param received [B*S, D] hidden states of the stage before; undefined in the first stage
   * @returns [B*S, D] hidden states behind the last block
   */
  forward(run: MicroBatchRun, received: Tensor | undefined): Tensor {
    const { from, to, model, checkpointing } = this.spec;
    const { tape, batch, balance } = run;
    const last = model.layers.length - 1;
    const firstBlock = Math.max(1, from);
    const layerRun = (layer: number) => ({
      tape,
      batch,
      weights: new LayerWeights(this.store, layer),
      balance: layer > 0 && layer < last ? balance?.block(layer - firstBlock) : undefined,
      dropout: (place: string, p: number) => this.#dropout(run.input, `${layer}.${place}`, p),
    });
    let h = received;
    for (let layer = from; layer < to; layer++) {
      tape.layer = layer;
      if (layer === 0) h = this.#forward.embed(layerRun(0));
      else if (!h) throw new TypeError(`Cannot run layer ${layer} before its input was received`);
      else if (layer === last) this.#runHead(run, h);
      else if (!checkpointing) h = this.#forward.block(layerRun(layer), h);
      else {
        h = tape.checkpoint(
          h,
          (inner, input) => this.#forward.block({ ...layerRun(layer), tape: inner }, input),
        );
      }
    }
    if (balance) this.#keepBalance(run.micro, balance);
    return h!; // a stage has a layer
  }

  /** The same for a sequence wherever, and how often, it is computed. */
  #dropout({ places }: MicroBatchInput, place: string, p: number): Dropout | undefined {
    if (p === 0) return undefined;
    const { seed } = this.spec;
    return { p, seeds: places.map((n) => streamSeed(seed, `dropout/${n}/${place}`)) };
  }

  #runHead({ tape, batch, input, micro }: MicroBatchRun, h: Tensor): void {
    const layer = this.spec.model.layers.length - 1;
    const { x, w } = this.#forward.head(
      { tape, batch, weights: new LayerWeights(this.store, layer) },
      h,
    );
    const N = batch.B * batch.S;
    const rows = linearCrossEntropy(tape, x, w, {
      targets: tape.constant(input.targets, [N]),
      ceScale: input.ceScale,
      ...(input.zScales ? { zScales: tape.constant(input.zScales, [N]) } : {}),
      topScales: input.topScales && tape.constant(input.topScales, [N]),
    });
    if (!this.#losses) return;
    this.#device.copy(this.#losses.ce.view(micro * N, [N]), rows.ce);
    this.#device.copy(this.#losses.z.view(micro * N, [N]), rows.z);
    if (rows.top) this.#device.copy(this.#losses.top!.view(micro * N, [N]), rows.top);
  }

  #keepBalance(micro: number, balance: LoadBalance): void {
    balance.addBlocks();
    if (!this.#balance) return;
    balance.complete();
    const { size, shape } = balance.sums;
    this.#device.copy(this.#balance.view(micro * size, shape), balance.sums);
  }

  /** Losses of the last step per micro-batch and row, [M, B*S]; undefined but on the last stage. */
  losses(): { ce: Float32Array; z: Float32Array; top: Float32Array | undefined } | undefined {
    if (!this.#losses) return undefined;
    return {
      ce: this.#device.downloadF32(this.#losses.ce),
      z: this.#device.downloadF32(this.#losses.z),
      top: this.#losses.top && this.#device.downloadF32(this.#losses.top),
    };
  }

  /**
   * Load-balancing sums of the last step per micro-batch, [M, 2, E]; undefined but on the last stage
   * of a model with experts.
   */
  balanceSums(): Float32Array | undefined {
    return this.#balance && this.#device.downloadF32(this.#balance);
  }
}
