/**
 * Which samples share a row.
 * @module
 */

/**
 * Packs samples into rows by best fit, longest first: each sample goes to the fullest row that
 * still has room for it. Deterministic. Rows are ordered by their first sample, and the samples
 * of a row by their place in the file. Samples of no tokens are left out.
 *
 * @param lengths Tokens of each sample, at most S
 * @param S Tokens of a row
 * @returns Sample numbers of each row
 */
export function packRows(lengths: ArrayLike<number>, S: number): number[][] {
  const longestFirst = Array.from({ length: lengths.length }, (_, i) => i)
    .filter((i) => lengths[i]! > 0)
    .sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const rows: number[][] = [];
  const withRoom: number[][] = Array.from({ length: S + 1 }, () => []); // rows by free tokens
  const open = new RoomTree(S);
  for (const sample of longestFirst) {
    const length = lengths[sample]!;
    const room = open.atLeast(length);
    let row: number;
    if (room === undefined) {
      row = rows.length;
      rows.push([]);
    } else {
      row = withRoom[room]!.pop()!;
      if (withRoom[room]!.length === 0) open.set(room, false);
    }
    rows[row]!.push(sample);
    const left = (room ?? S) - length;
    if (left > 0) {
      withRoom[left]!.push(row);
      open.set(left, true);
    }
  }
  for (const row of rows) row.sort((a, b) => a - b);
  return rows.sort((a, b) => a[0]! - b[0]!);
}

/** The amounts of room for which a row is open: a binary tree of "some below is open". */
class RoomTree {
  readonly #leaves: number;
  readonly #some: Uint8Array;

  constructor(max: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(max + 1));
    this.#some = new Uint8Array(2 * this.#leaves);
  }

  set(room: number, isOpen: boolean): void {
    let node = this.#leaves + room;
    this.#some[node] = isOpen ? 1 : 0;
    while ((node >>= 1) > 0) this.#some[node] = this.#some[2 * node]! | this.#some[2 * node + 1]!;
  }

  /** The smallest open amount that is not below `room`. */
  atLeast(room: number): number | undefined {
    let node = this.#leaves + room;
    if (this.#some[node]) return room;
    while (node > 1 && !(node % 2 === 0 && this.#some[node + 1])) node >>= 1;
    if (node <= 1) return undefined;
    node++;
    while (node < this.#leaves) node = this.#some[2 * node] ? 2 * node : 2 * node + 1;
    return node - this.#leaves;
  }
}
