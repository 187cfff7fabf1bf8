/** Choosing the next token from logits. @module */

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

/** Chooses tokens. Equal options and logits give equal choices. */
export class Sampler {
  readonly #options: SamplingOptions;
  readonly #random: () => number;

  /** A sampler at the start of its random numbers. */
  constructor(options: SamplingOptions) {
    this.#options = options;
    this.#random = uniform(options.seed);
  }

  /** The next token. @param logits [V] */
  next(logits: Float32Array): number {
    const { temperature, topK, topP } = this.#options;
    if (temperature === 0) return argmax(logits);
    const order = topK === 0 && topP === 1
      ? Int32Array.from(logits, (_, id) => id)
      : Int32Array.from(logits, (_, id) => id).sort((a, b) => logits[b] - logits[a] || a - b);
    const kept = topK > 0 ? order.subarray(0, topK) : order;
    const max = logits[argmax(logits)];
    const weights = Float64Array.from(kept, (id) => Math.exp((logits[id] - max) / temperature));
    let total = weights.reduce((a, b) => a + b, 0);
    let count = kept.length;
    if (topP < 1) {
      let sum = 0;
      for (count = 0; count < kept.length && sum < topP * total; count++) sum += weights[count];
      total = sum;
    }
    let left = this.#random() * total;
    for (let i = 0; i < count; i++) {
      left -= weights[i];
      if (left < 0) return kept[i];
    }
    return kept[count - 1];
  }
}

/** Index of the largest element, the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
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
