/** Several byte strings as one: each preceded by its u64 length, little-endian. @module */

/** Joins byte strings. */
export function joinBlobs(blobs: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(blobs.reduce((sum, blob) => sum + 8 + blob.length, 0));
  const view = new DataView(joined.buffer);
  let at = 0;
  for (const blob of blobs) {
    view.setBigUint64(at, BigInt(blob.length), true);
    joined.set(blob, at + 8);
    at += 8 + blob.length;
  }
  return joined;
}

/**
 * Takes apart what {@linkcode joinBlobs} joined.
 *
 * @throws {RangeError} If the lengths do not fit the bytes
 */
export function splitBlobs(joined: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const view = new DataView(joined.buffer, joined.byteOffset, joined.byteLength);
  const blobs: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < joined.length;) {
    const length = at + 8 <= joined.length ? Number(view.getBigUint64(at, true)) : Infinity;
    if (at + 8 + length > joined.length) {
      throw new RangeError(`Cannot split ${joined.length} bytes: a length at ${at} does not fit`);
    }
    blobs.push(joined.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return blobs;
}
