/** Just enough of the protocol buffer wire format to read a SentencePiece model. @module */

/** One field of a message. */
export interface Field {
  /** Field number. */
  number: number;
  /** Value of a varint (as far as 2^53) or of a 32-bit float; undefined for others. */
  value: number | undefined;
  /** Content of a length-delimited field; a view, not a copy. */
  bytes: Uint8Array | undefined;
}

/**
 * The fields of a message, in order.
 *
 * @param base Where `bytes` begins in the file, for messages
 * @throws {RangeError} If it is truncated or not a message; names the byte
 */
export function* fields(bytes: Uint8Array, base = 0): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const need = (count: number) => {
    if (at + count <= bytes.length) return;
    throw new RangeError(
      `the file is truncated: a field at byte ${base + at} needs ${count} bytes, but only ` +
        `${bytes.length - at} are left`,
    );
  };
  const varint = () => {
    let value = 0, scale = 1;
    for (let i = 0; i < 10; i++, scale *= 128) {
      need(1);
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new RangeError(`byte ${base + at - 1} does not end a number: not a SentencePiece model`);
  };
  while (at < bytes.length) {
    const start = at, key = varint(), number = Math.floor(key / 8), wire = key % 8;
    let value: number | undefined, content: Uint8Array | undefined;
    if (wire === 0) value = varint();
    else if (wire === 5) {
      need(4);
      value = view.getFloat32(at, true);
      at += 4;
    } else if (wire === 1) {
      need(8);
      at += 8;
    } else if (wire === 2) {
      const length = varint();
      need(length);
      content = bytes.subarray(at, at + length);
      at += length;
    } else {
      throw new RangeError(
        `byte ${base + start} begins a field of unknown kind ${wire}: not a SentencePiece model`,
      );
    }
    if (number === 0) throw new RangeError(`byte ${base + start} is not a SentencePiece model`);
    yield { number, value, bytes: content };
  }
}
