/** A model ready to generate: weights, key/value cache, and memory planned for both. @module */
import { ConfigError } from "../config/config_error.ts";
import {
  type Forward,
  type LayerRun,
  LayerWeights,
  type ModelDescription,
} from "../models/model.ts";
import { Arena, Pool, UNBOUNDED } from "../tensor/arena.ts";
import { Device } from "../tensor/device.ts";
import type { FloatType } from "../tensor/dtype.ts";
import type { KeyValueCache } from "../tensor/ops/attention.ts";
import { matmul } from "../tensor/ops/linear.ts";
import { ParameterStore } from "../tensor/parameter.ts";
import { Tape } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Most positions of a prompt that run at once: bounds memory, costs no speed. */
const PREFILL_CHUNK = 256;

/** Generates one sequence. */
export class LanguageModel {
  readonly #device: Device;
  readonly #model: ModelDescription;
  readonly #store: ParameterStore;
  readonly #forward: Forward;
  readonly #caches: KeyValueCache[];
  readonly #arena: Arena;
  #length = 0;

  /**
   * Allocates weights and cache, and fills the weights.
   *
   * @param options.capacity Most positions, prompt and generated
   * @param options.dtype Arithmetic and storage
   * @param load Fills the weights
   * @throws {ConfigError} If the model was not made for so many positions
   */
  static load(
    device: Device,
    model: ModelDescription,
    options: { capacity: number; dtype: FloatType },
    load: (store: ParameterStore) => void,
  ): LanguageModel {
    const { capacity } = options;
    if (model.maxPositions !== undefined && capacity > model.maxPositions) {
      throw new ConfigError([
        `Cannot generate ${capacity} positions as the model was made for ${model.maxPositions}: ` +
        "shorten the prompt or lower --max-new-tokens",
      ]);
    }
    const dry = new LanguageModel(Device.dry(), model, options);
    dry.extend(new Int32Array(Math.min(capacity, PREFILL_CHUNK)));
    const loaded = new LanguageModel(device, model, options, dry.#arena.peakBytes);
    load(loaded.#store);
    return loaded;
  }

  private constructor(
    device: Device,
    model: ModelDescription,
    { capacity, dtype }: { capacity: number; dtype: FloatType },
    arenaBytes?: number,
  ) {
    this.#device = device;
    this.#model = model;
    const layers = model.layers.map((parameters, layer) => ({ layer, parameters }));
    this.#store = new ParameterStore(device, layers, { dtype, train: false });
    this.#forward = model.forward(device, capacity);
    this.#caches = Array.from({ length: layers.length - 2 }, () => ({
      rows: device.tensor([1, capacity, 2, model.kvHeads, model.headWidth], dtype),
      capacity,
      length: 0,
    }));
    this.#arena = new Arena(arenaBytes === undefined ? UNBOUNDED : device.region(arenaBytes));
  }

  /** Forgets the sequence: the next token is the first of another one. */
  restart(): void {
    this.#length = 0;
    for (const cache of this.#caches) cache.length = 0;
  }

  /**
   * Adds tokens to the sequence.
   *
   * @returns Logits [1, V] f32 of the token after them, on the device until the next call
   */
  extend(ids: Int32Array): Tensor {
    let at = 0;
    for (; at + PREFILL_CHUNK < ids.length; at += PREFILL_CHUNK) {
      this.#runBlocks(ids.subarray(at, at + PREFILL_CHUNK));
    }
    const { h, run, tape } = this.#runBlocks(ids.subarray(at));
    const { x, w } = this.#forward.head(run(this.#caches.length + 1), h);
    const logits = tape.empty([1, this.#model.vocabSize], "f32");
    matmul(tape, x, w.weight, logits, { transposeB: true });
    return logits;
  }

  /** Everything but the head, for tokens that run at once. Returns the last hidden states [1, D]. */
  #runBlocks(ids: Int32Array): { h: Tensor; run: (layer: number) => LayerRun; tape: Tape } {
    const S = ids.length;
    this.#arena.reset();
    const tape = new Tape(
      this.#device,
      this.#arena,
      new Pool({ ptr: null, bytes: 0 }),
      "inference",
    );
    const each = (value: (t: number) => number) =>
      tape.constant(Int32Array.from({ length: S }, (_, t) => value(t)), [S]);
    const start = this.#length;
    const window = this.#model.spanRule?.window ?? Infinity;
    const batch = {
      B: 1,
      S,
      ids: tape.constant(ids, [S]),
      positions: each((t) => start + t),
      span: {
        begin: each((t) => Math.max(0, start + t + 1 - window)),
        end: each((t) => start + t + 1),
      },
    };
    const run = (layer: number): LayerRun => ({
      tape,
      batch,
      weights: new LayerWeights(this.#store, layer),
      cache: this.#caches[layer - 1],
      // of the last block only the logits of the last token are made
      returns: layer === this.#caches.length ? "last row" : undefined,
    });
    let h = this.#forward.embed(run(0));
    for (const [i, cache] of this.#caches.entries()) {
      h = this.#forward.block(run(i + 1), h);
      cache.length += S;
    }
    this.#length += S;
    return { h, run, tape };
  }
}
