/**
 * Sorts all characters by the sets of a regular expression that they are in: characters of one class
 * are in the same sets, so that an automaton needs to know no more than the class.
 *
 * @module
 */

/** A set of characters. */
export interface CharacterSet {
  /** In JavaScript's syntax, as with the flag `v`; matches exactly one character. */
  source: string;
  /** Whether characters are in it as well that differ from its own only in case. */
  ignoresCase: boolean;
}

/** Stands in {@linkcode CharacterClasses.ofUnit} for the first half of a pair. */
export const PAIR = 255;
/** Class of what comes after the last character: in no set. */
export const END = 254;

const PLANE = 1 << 16, PAGE = 1 << 10;

/** The classes of some sets. */
export class CharacterClasses {
  /** [65536] class of each character of the basic plane; {@linkcode PAIR} for high surrogates. */
  readonly ofUnit: Uint8Array;
  /** Class of a high surrogate that stands alone. */
  readonly ofLoneHigh: number;
  readonly #sets: readonly CharacterSet[];
  readonly #ofKey = new Map<string, number>();
  readonly #setsOf: Set<number>[] = [];
  readonly #pages: (Uint8Array | undefined)[] = new Array(PAGE);

  /** Sorts the characters of the basic plane. @throws {RangeError} If they are of too many classes */
  constructor(sets: readonly CharacterSet[]) {
    this.#sets = sets;
    this.ofUnit = this.#sort(PLANE, sets.map(membersInPlane));
    this.ofLoneHigh = this.ofUnit[0xd800]!;
    this.ofUnit.fill(PAIR, 0xd800, 0xdc00);
  }

  /** How many classes there are so far: they are the numbers below. */
  get count(): number {
    return this.#setsOf.length;
  }

  /** Whether the characters of a class are in a set. */
  isIn(characterClass: number, set: number): boolean {
    return this.#setsOf[characterClass]?.has(set) ?? false;
  }

  /** Class of a character beyond the basic plane; it may be a new one. */
  ofPair(high: number, low: number): number {
    const page = this.#pages[high & 0x3ff] ??= this.#sortPage(0x10000 + ((high & 0x3ff) << 10));
    return page[low & 0x3ff]!;
  }

  #sortPage(first: number): Uint8Array {
    const text = String.fromCodePoint(...Array.from({ length: PAGE }, (_, i) => first + i));
    return this.#sort(PAGE, this.#sets.map((set) => membersIn(text, set, PAGE, 2)));
  }

  /** Class of each of `size` characters, by the sets that they are in. */
  #sort(size: number, members: readonly Uint8Array[]): Uint8Array {
    const parts = new Uint16Array(size); // refined set by set
    let keys = [""];
    members.forEach((isMember, set) => {
      const numbers = new Int32Array(2 * keys.length).fill(-1), refined: string[] = [];
      for (let i = 0; i < size; i++) {
        const part = parts[i]! << 1 | isMember[i]!;
        if (numbers[part]! < 0) {
          numbers[part] = refined.length;
          refined.push(isMember[i] ? `${keys[part >> 1]} ${set}` : keys[part >> 1]!);
        }
        parts[i] = numbers[part]!;
      }
      keys = refined;
    });
    const classes = keys.map((key) => this.#classOf(key));
    return Uint8Array.from(parts, (part) => classes[part]!);
  }

  #classOf(key: string): number {
    let found = this.#ofKey.get(key);
    if (found === undefined) {
      found = this.#setsOf.length;
      if (found === END) throw new RangeError("A regular expression has too many sets");
      this.#ofKey.set(key, found);
      this.#setsOf.push(new Set(key.split(" ").filter((set) => set !== "").map(Number)));
    }
    return found;
  }
}

const inPlane = new Map<string, Uint8Array>(); // many patterns have the same sets
let plane: string | undefined;

function membersInPlane(set: CharacterSet): Uint8Array {
  const key = `${set.ignoresCase}${set.source}`;
  let members = inPlane.get(key);
  if (members === undefined) {
    const units = new Uint16Array(PLANE).map((_, i) => (i & 0xf800) === 0xd800 ? 0 : i);
    plane ??= new TextDecoder("utf-16le", { ignoreBOM: true }).decode(units);
    members = membersIn(plane, set, PLANE, 1);
    members.fill(membersIn("\ud800", set, 1, 1)[0]!, 0xd800, 0xe000);
    inPlane.set(key, members);
  }
  return members;
}

/** Which of the `size` characters of a text, all of `width` units, are in a set: 1, else 0. */
function membersIn(text: string, set: CharacterSet, size: number, width: number): Uint8Array {
  const members = new Uint8Array(size);
  const runs = new RegExp(`(?:${set.source})+`, set.ignoresCase ? "giv" : "gv");
  for (const run of text.matchAll(runs)) {
    members.fill(1, run.index / width, (run.index + run[0].length) / width);
  }
  return members;
}
