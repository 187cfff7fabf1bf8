/**
 * Which element of a matrix each register of each lane holds, as the tables of the PTX ISA say, and
 * nothing else: written from its text, not from the code under test.
 *
 * Of its sections "Matrix Fragments for mma.m16n8k16 with floating point type" (9.7.14.5.8 of PTX ISA
 * 9.2) and "Warp-level matrix load instruction: ldmatrix".
 * @module
 */

/** A place in a matrix. */
export interface Place {
  row: number;
  col: number;
}

/** Elements of a fragment that a lane holds, two 16-bit ones to a register, the lower half first. */
export const ELEMENTS = { A: 8, B: 4, C: 4 } as const;

/** Multiplicand A, [16, 16]: element a_i of a lane. */
export function placeOfA(lane: number, i: number): Place {
  const groupID = lane >> 2, threadIDInGroup = lane % 4;
  const row = (0 <= i && i < 2) || (4 <= i && i < 6) ? groupID : groupID + 8;
  const col = i < 4 ? threadIDInGroup * 2 + (i & 1) : threadIDInGroup * 2 + (i & 1) + 8;
  return { row, col };
}

/** Multiplicand B, [16, 8]: element b_i of a lane. */
export function placeOfB(lane: number, i: number): Place {
  const groupID = lane >> 2, threadIDInGroup = lane % 4;
  const row = i < 2 ? threadIDInGroup * 2 + (i & 1) : threadIDInGroup * 2 + (i & 1) + 8;
  return { row, col: groupID };
}

/** Accumulators C and D, [16, 8] of f32: element c_i of a lane. */
export function placeOfC(lane: number, i: number): Place {
  const groupID = lane >> 2, threadIDInGroup = lane % 4;
  return { row: i < 2 ? groupID : groupID + 8, col: threadIDInGroup * 2 + (i & 1) };
}

/**
 * ldmatrix .x4 of m8n8 .b16: which lane gives the address of a row of matrix m ("Threads 0-7:
 * addr0-addr7, threads 8-15: addr8-addr15, ...": addr0-addr7 are the rows of the first matrix).
 */
export function laneOfAddress(matrix: number, row: number): number {
  return matrix * 8 + row;
}

/**
 * ldmatrix: the element of matrix m in half `half` of register m of a lane. "Each thread loads
 * fragments of a row, thread 0 receiving the first fragment; a group of four threads loads an entire
 * row"; with .trans the matrix is loaded in column-major order.
 */
export function placeOfLoad(lane: number, half: number, isTransposed: boolean): Place {
  const row = Math.floor(lane / 4), col = lane % 4 * 2 + half;
  return isTransposed ? { row: col, col: row } : { row, col };
}
