/**
 * `torch.randperm` on the CPU, for `compat: gdgpt`, whose sample order is torch's.
 * @module
 */

/**
 * The permutation that `torch.randperm(n, generator=torch.Generator().manual_seed(seed))` gives.
 *
 *   r = 0 .. n-1;  for i = 0 .. n-2: swap r[i] with r[i + next32() % (n - i)]
 *
 * @param n Length, at most 2^32
 * @param seed The low 32 bits are used
 */
export function torchRandperm(n: number, seed: number): Uint32Array {
  const next = mt19937(seed);
  const r = new Uint32Array(n).map((_, i) => i);
  for (let i = 0; i < n - 1; i++) {
    const j = i + next() % (n - i);
    const kept = r[i]!;
    r[i] = r[j]!;
    r[j] = kept;
  }
  return r;
}

const N = 624, M = 397;

/** Mersenne Twister, 32 bits at a time. @see doi:10.1145/272991.272995 */
function mt19937(seed: number): () => number {
  const state = new Uint32Array(N);
  state[0] = seed;
  for (let i = 1; i < N; i++) {
    const last = state[i - 1]! ^ (state[i - 1]! >>> 30);
    state[i] = Math.imul(1812433253, last) + i;
  }
  let at = N;
  return () => {
    if (at === N) {
      twist(state);
      at = 0;
    }
    let y = state[at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

function twist(state: Uint32Array): void {
  for (let i = 0; i < N; i++) {
    const y = (state[i]! & 0x80000000) | (state[(i + 1) % N]! & 0x7fffffff);
    state[i] = state[(i + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
  }
}
