/**
 * A double-array trie: where the child of a node lies is computed, not searched for.
 *
 * @see Aoe, "An Efficient Digital Search Algorithm by Using a Double-Array Structure" (1989)
 * @module
 */

const CELL = 3; // base, parent, id
const BASE = 0, PARENT = 1, ID = 2;
const FREE = -1;
const TRIES = 100; // more than these: there is no room where the search began

/** Texts and their ids. A node is the number of its cell; the root is 0. */
export class Trie {
  /** Length of the longest text, in UTF-16 units. */
  readonly longest: number;
  readonly #codes: Uint16Array; // of each unit; frequent ones are small, 0 is in no text
  readonly #codeCount: number;
  #cells = new Int32Array(CELL << 10).fill(FREE);
  #firstFree = 1;
  #firstRoom = 1; // before it there are only holes

  /**
   * Builds a trie.
   *
   * @param texts By id; undefined or empty ones are not in it. Of two equal ones the later one counts
   */
  constructor(texts: readonly (string | undefined)[]) {
    const ids = new Map<string, number>();
    texts.forEach((text, id) => text && ids.set(text, id));
    const sorted = [...ids.keys()].sort();
    this.longest = sorted.reduce((longest, text) => Math.max(longest, text.length), 0);
    const { codes, count } = codesOf(sorted);
    this.#codes = codes;
    this.#codeCount = count;
    // level by level, nodes and the texts that go through them: sorted[from, to)
    let level = [0, 0, sorted.length];
    for (let depth = 0; level.length > 0; depth++) {
      const next: number[] = [], children: number[] = [];
      for (let n = 0; n < level.length; n += 3) {
        const node = level[n]!, to = level[n + 2]!, first = next.length;
        let k = level[n + 1]!;
        if (k < to && sorted[k]!.length === depth) {
          this.#cells[node * CELL + ID] = ids.get(sorted[k++]!)!;
        }
        children.length = 0;
        while (k < to) {
          const unit = sorted[k]!.charCodeAt(depth), from = k;
          while (k < to && sorted[k]!.charCodeAt(depth) === unit) k++;
          children.push(codes[unit]!);
          next.push(0, from, k);
        }
        if (children.length === 0) continue;
        const base = this.#place(node, children);
        for (let i = 0; i < children.length; i++) next[first + 3 * i] = base + children[i]!;
      }
      level = next;
    }
  }

  /** The node of a node's text and one more unit, -1 if there is none. */
  child(node: number, unit: number): number {
    const cells = this.#cells, code = this.#codes[unit]!;
    if (code === 0) return -1;
    const child = cells[node * CELL + BASE]! + code;
    return cells[child * CELL + PARENT] === node ? child : -1;
  }

  /** The id of a node's text, -1 if it has none. */
  id(node: number): number {
    return this.#cells[node * CELL + ID]!;
  }

  /** Gives the children of a node free cells. @returns Its base */
  #place(node: number, codes: readonly number[]): number {
    const smallest = codes.reduce((least, code) => Math.min(least, code));
    const fillsHole = codes.length === 1 && smallest < this.#firstFree;
    const start = fillsHole ? this.#firstFree : this.#firstRoom;
    let base = Math.max(start - smallest, 1), tries = 0;
    for (;; base++, tries++) {
      this.#reserve(base + this.#codeCount); // so that no child is looked for beyond the end
      if (this.#isRoom(base, codes)) break;
    }
    if (!fillsHole && tries > TRIES) this.#firstRoom = base + smallest;
    this.#cells[node * CELL + BASE] = base;
    for (const code of codes) this.#cells[(base + code) * CELL + PARENT] = node;
    while (!this.#isFree(this.#firstFree)) this.#firstFree++;
    return base;
  }

  #isRoom(base: number, codes: readonly number[]): boolean {
    for (const code of codes) if (!this.#isFree(base + code)) return false;
    return true;
  }

  #isFree(cell: number): boolean {
    return this.#cells[cell * CELL + PARENT] === FREE;
  }

  #reserve(last: number): void {
    if ((last + 2) * CELL <= this.#cells.length) return;
    const cells = new Int32Array(Math.max(2 * this.#cells.length, (last + 2) * CELL)).fill(FREE);
    cells.set(this.#cells);
    this.#cells = cells;
  }
}

/** Numbers from 1 on for the units of all texts, the most frequent one first. */
function codesOf(texts: readonly string[]): { codes: Uint16Array; count: number } {
  const counts = new Uint32Array(1 << 16);
  for (const text of texts) {
    for (let i = 0; i < text.length; i++) counts[text.charCodeAt(i)]!++;
  }
  const units = Array.from(counts.keys()).filter((unit) => counts[unit]! > 0)
    .sort((a, b) => counts[b]! - counts[a]!);
  const codes = new Uint16Array(1 << 16);
  units.forEach((unit, i) => codes[unit] = i + 1);
  return { codes, count: units.length };
}
