/** Random damage that is the same every time. @module */

/** Cuts, overwrites, flips, repeats or moves some bytes, most often near the ends. */
export function mutate(original: Uint8Array, random: () => number): Uint8Array {
  let bytes = original.slice();
  const below = (n: number) => Math.floor(random() * n);
  const place = () => {
    const near = Math.min(bytes.length, 300);
    const kind = below(3);
    return kind === 0
      ? below(near)
      : kind === 1
      ? bytes.length - 1 - below(near)
      : below(bytes.length);
  };
  for (let n = 1 + below(4); n > 0 && bytes.length > 0; n--) {
    const at = place();
    switch (below(6)) {
      case 0:
        bytes = bytes.slice(0, at);
        break;
      case 1:
        bytes[at] ^= 1 << below(8);
        break;
      case 2:
        bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)];
        break;
      case 3:
        bytes.fill(0xff, at, at + 1 + below(8));
        break;
      case 4: // a digit of a header, or a number of a pickle
        bytes[at] = '0123456789[]{},:"-.'.charCodeAt(below(19));
        break;
      default:
        bytes.copyWithin(at, place(), place());
    }
  }
  return bytes;
}

/** Uniform numbers in [0, 1), the same ones every time. */
export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let t = Math.imul(state ^ state >>> 15, 1 | state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}
