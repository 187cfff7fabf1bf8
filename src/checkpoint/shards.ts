/** How Hugging Face directories split a model into files. @module */

/** One file of a sharded model. */
export interface Shard<T> {
  /** File name. */
  name: string;
  /** Its tensors. */
  tensors: T[];
}

/**
 * Fills shards in the given order; a tensor that is larger than a shard has one of its own.
 *
 * @param maxBytes Most bytes of tensors in a shard
 * @returns `model.safetensors`, or `model-00001-of-0000N.safetensors` and its like
 */
export function splitIntoShards<T extends { bytes: number }>(
  tensors: readonly T[],
  maxBytes: number,
): Shard<T>[] {
  const groups: T[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    if (groups.length === 0 || tensor.bytes > room) {
      groups.push([]);
      room = maxBytes;
    }
    groups.at(-1)!.push(tensor);
    room -= tensor.bytes;
  }
  const five = (n: number) => String(n).padStart(5, "0");
  const name = (i: number) =>
    groups.length === 1
      ? "model.safetensors"
      : `model-${five(i + 1)}-of-${five(groups.length)}.safetensors`;
  return groups.map((tensors, i) => ({ name: name(i), tensors }));
}

/** The text of `model.safetensors.index.json`: which shard holds which tensor. */
export function shardIndex(shards: readonly Shard<{ name: string; bytes: number }>[]): string {
  const map = shards.flatMap(({ name, tensors }) => tensors.map((t) => [t.name, name] as const));
  map.sort(([a], [b]) => a < b ? -1 : 1);
  const total = shards.flatMap(({ tensors }) => tensors).reduce((sum, t) => sum + t.bytes, 0);
  const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(map) };
  return JSON.stringify(index, null, 2) + "\n";
}
