/** Byte counts as people write them. @module */

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * Reads `500MB`, `1.5GB`, `2GiB` or a plain number of bytes; units in any case.
 *
 * @returns Bytes, or undefined when the text is no size of at least one byte
 */
export function parseByteSize(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  const scale = unit === undefined ? undefined : UNITS[unit.toLowerCase()];
  if (scale === undefined) return undefined;
  const bytes = Math.floor(Number(number) * scale);
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined;
}
