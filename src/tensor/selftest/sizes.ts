/** Sizes of models at which the kernels are checked and timed. @module */

/** Sizes of a model and of a batch, in the letters of csrc/llmpipe.h. */
export interface Sizes {
  /** Sequences. */
  B: number;
  /** Positions of each. */
  S: number;
  /** Width. */
  D: number;
  /** MLP width. */
  F: number;
  /** Vocabulary. */
  V: number;
  /** Query heads. */
  H: number;
  /** Key/value heads. */
  G: number;
  /** Head width, even. */
  K: number;
  /** Experts. */
  E: number;
  /** Experts of a token. */
  top: number;
}

/**
 * Where kernels go wrong: one of everything; nothing a multiple of anything; each head width that
 * has tiles of its own, with a last tile that is not full.
 */
export const AWKWARD: readonly Sizes[] = [
  { B: 1, S: 1, D: 1, F: 1, V: 2, H: 1, G: 1, K: 2, E: 1, top: 1 },
  { B: 2, S: 5, D: 7, F: 9, V: 33, H: 4, G: 2, K: 6, E: 4, top: 2 },
  { B: 1, S: 131, D: 128, F: 136, V: 1000, H: 2, G: 1, K: 64, E: 8, top: 2 },
  { B: 2, S: 33, D: 264, F: 72, V: 517, H: 2, G: 2, K: 80, E: 3, top: 3 },
  { B: 1, S: 65, D: 96, F: 250, V: 64, H: 1, G: 1, K: 96, E: 2, top: 1 },
  { B: 1, S: 70, D: 1032, F: 24, V: 4099, H: 3, G: 1, K: 128, E: 9, top: 4 },
];

/** A layer of Llama 3 8B, and what surrounds it. */
export const LARGE: Sizes = {
  B: 2,
  S: 4096,
  D: 4096,
  F: 14336,
  V: 32000,
  H: 32,
  G: 8,
  K: 128,
  E: 8,
  top: 2,
};

/** As small as makes sense, for an emulated device. */
export const TINY: Sizes = { B: 1, S: 16, D: 32, F: 48, V: 64, H: 2, G: 1, K: 64, E: 4, top: 2 };
