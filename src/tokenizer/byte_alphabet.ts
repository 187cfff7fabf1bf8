/**
 * The alphabet of byte-level models: each byte as one printable character.
 *
 * @see openai/gpt-2, src/encoder.py, `bytes_to_unicode`
 * @module
 */

const isPrintable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;

/** The character of each byte. */
export const CHARACTER_OF_BYTE: readonly string[] = characters();

/** The byte of each character, by its UTF-16 unit; -1 for those outside of the alphabet. */
export const BYTE_OF_UNIT: Int16Array = new Int16Array(324).fill(-1);
CHARACTER_OF_BYTE.forEach((c, b) => BYTE_OF_UNIT[c.charCodeAt(0)] = b);

function characters(): string[] {
  let others = 0;
  return Array.from(
    { length: 256 },
    (_, b) => String.fromCharCode(isPrintable(b) ? b : 256 + others++),
  );
}

/** The bytes that a token stands for; UTF-8 of the token if it is not in the alphabet. */
export function fromByteAlphabet(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const unit = token.charCodeAt(i);
    const byte = unit < BYTE_OF_UNIT.length ? BYTE_OF_UNIT[unit]! : -1;
    if (byte < 0) return new TextEncoder().encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
