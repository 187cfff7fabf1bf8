/** Choosing the next token from logits. @module */
import type { Device } from "../tensor/device.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How the next token is chosen. */
export interface SamplingOptions {
  /** 0 takes the most probable token; above 0 divides the logits before sampling. */
  temperature: number;
  /** Sample only among the k most probable tokens; 0 for all. */
  topK: number;
  /** Sample only among the fewest tokens whose probabilities reach p; 1 for all. */
  topP: number;
  /** Same seed, same text. */
  seed: number;
}

/**
 * Chooses tokens on the device, by the rules of lp_sample in csrc/llmpipe.h: only the token comes
 * back. Equal options and logits give equal choices.
 */
export class Sampler {
  readonly #device: Device;
  readonly #options: SamplingOptions;
  readonly #random: () => number;
  readonly #uniform: Tensor;
  readonly #token: Tensor;

  /** A sampler at the start of its random numbers. */
  constructor(device: Device, options: SamplingOptions) {
    this.#device = device;
    this.#options = options;
    this.#random = uniform(options.seed);
    this.#uniform = device.tensor([1], "f64");
    this.#token = device.tensor([1], "i32");
  }

  /** The next token. @param logits [1, V] f32 */
  next(logits: Tensor): number {
    const { temperature, topK, topP } = this.#options;
    if (temperature > 0) this.#device.upload(this.#uniform, Float64Array.of(this.#random()));
    this.#device.kernels.sample(
      logits.ptr,
      this.#uniform.ptr,
      this.#token.ptr,
      1,
      logits.size,
      temperature,
      topK,
      topP,
    );
    return this.#device.downloadI32(this.#token)[0];
  }
}

/** Uniform numbers in [0, 1) with 53 bits. @see https://prng.di.unimi.it/xoshiro128plusplus.c */
function uniform(seed: number): () => number {
  const s = new Uint32Array(4);
  for (let i = 0, x = seed; i < 4; i++) { // splitmix32
    x = (x + 0x9e3779b9) | 0;
    let z = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    s[i] = z ^ (z >>> 16);
  }
  const rotate = (x: number, k: number) => (x << k) | (x >>> (32 - k));
  const next = () => {
    const result = (rotate(s[0] + s[3], 7) + s[0]) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 11);
    return result;
  };
  return () => (next() * 2 ** 21 + (next() >>> 11)) / 2 ** 53;
}
