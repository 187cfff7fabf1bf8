/** What dropout keeps, from the words of Philox4x32 (Salmon et al., SC'11). @module */

/** The four words of block (counter, row) of stream `seed`. */
export function philox(rounds: number, seed: bigint, counter: bigint, row = 0n): number[] {
  const low = (x: bigint) => Number(x & 0xffffffffn);
  let c = [low(counter), low(counter >> 32n), low(row), low(row >> 32n)];
  let [k0, k1] = [low(seed), low(seed >> 32n)];
  for (let round = 0; round < rounds; round++) {
    const p0 = 0xd2511f53n * BigInt(c[0]), p1 = 0xcd9e8d57n * BigInt(c[2]);
    c = [
      (low(p1 >> 32n) ^ c[1] ^ k0) >>> 0,
      low(p1),
      (low(p0 >> 32n) ^ c[3] ^ k1) >>> 0,
      low(p0),
    ];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return c;
}

/** Factor of an element whose 16 bits are the i-th of a block: 0, or 1 / (1 - p) of the rounded p. */
function factorOf(p: number, words: number[], i: number): number {
  const dropped = Math.round(Math.fround(p) * 65536);
  const bits = words[Math.floor(i / 2)] >>> 16 * (i % 2) & 0xffff;
  return bits >= dropped ? 65536 / (65536 - dropped) : 0;
}

/** Factor of element i of a flat array. */
export function keptFactor(p: number, seed: bigint, i: number): number {
  return factorOf(p, philox(7, seed, BigInt(Math.floor(i / 8))), i % 8);
}

/** Factor of the probability of query t and key j; heads are counted through all sequences. */
export function keptFactorOfPair(
  p: number,
  seed: bigint,
  head: number,
  t: number,
  j: number,
): number {
  const [query, key] = [Math.floor(t / 8) % 4, Math.floor(j / 8) % 2];
  const counter = BigInt(j - 8 * key) | BigInt(t - 8 * query) << 32n;
  return factorOf(p, philox(7, seed, counter, BigInt(head)), 2 * query + key);
}
