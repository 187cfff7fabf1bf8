/** Text as UTF-16 units in a typed array, which inner loops read faster than a string. @module */

/** Units of the text being encoded; reused, grows. */
export class UnitBuffer {
  /** The units of the text that was loaded last, from 0 on. */
  data: Uint16Array = new Uint16Array(1 << 12);

  /** Loads `text[begin, end)`. @returns How many units these are */
  load(text: string, begin: number, end: number): number {
    const count = end - begin;
    if (count > this.data.length) {
      this.data = new Uint16Array(Math.max(count, 2 * this.data.length));
    }
    const data = this.data;
    for (let i = 0; i < count; i++) data[i] = text.charCodeAt(begin + i);
    return count;
  }
}

const RUN = 1 << 13; // arguments that one call takes

/** The text of `units[begin, end)`. */
export function textOfUnits(units: Uint16Array, begin: number, end: number): string {
  let text = "";
  for (let i = begin; i < end; i += RUN) {
    const run = units.subarray(i, Math.min(i + RUN, end)) as ArrayLike<number>;
    text += String.fromCharCode.apply(null, run as number[]); // V8 spreads them five times slower
  }
  return text;
}

/** Whether `units[i]` and the one after it are one character beyond the basic plane. */
export function isPair(units: Uint16Array, i: number, end: number): boolean {
  return (units[i]! & 0xfc00) === 0xd800 && i + 1 < end && (units[i + 1]! & 0xfc00) === 0xdc00;
}

/** The character that two units make. */
export function characterOfPair(high: number, low: number): number {
  return 0x10000 + ((high & 0x3ff) << 10 | low & 0x3ff);
}

/**
 * Writes the UTF-8 of `units[begin, end)` to `bytes`, which must have room for three bytes per unit. A
 * lone surrogate is U+FFFD.
 *
 * @returns How many bytes
 */
export function writeUtf8(
  units: Uint16Array,
  begin: number,
  end: number,
  bytes: Uint8Array,
): number {
  let n = 0;
  for (let i = begin; i < end; i++) {
    let c = units[i]!;
    if (c < 0x80) {
      bytes[n++] = c;
      continue;
    }
    if (c < 0x800) {
      bytes[n++] = 0xc0 | c >> 6;
    } else {
      if ((c & 0xf800) !== 0xd800) bytes[n++] = 0xe0 | c >> 12;
      else if (isPair(units, i, end)) {
        c = characterOfPair(c, units[++i]!);
        bytes[n++] = 0xf0 | c >> 18;
        bytes[n++] = 0x80 | c >> 12 & 0x3f;
      } else {
        c = 0xfffd;
        bytes[n++] = 0xef;
      }
      bytes[n++] = 0x80 | c >> 6 & 0x3f;
    }
    bytes[n++] = 0x80 | c & 0x3f;
  }
  return n;
}
