/**
 * How far two backends may be apart, by the arithmetic they were asked for.
 *
 * Both round at the same places to the storage type, and sum in f32, each in its own order.
 *
 * f32: sums of n terms differ by about sqrt(n) roundings of 2^-24. The longest sums here have some
 * 200 terms and two blocks are some 30 ops deep, forward and backward: sqrt(200 * 60) = 110 roundings
 * of 6e-8 are 6.5e-6. Norms and softmax amplify that; a wrong formula is wrong by 1e-3 or more.
 *
 * bf16, fp16: a sum that differs in its last bits now and then rounds to the other neighbour, by
 * 2^-8 or 2^-11 of it. What that may add up to is measured, not guessed: it is how far the CPU in
 * this type is from the CPU in f32. Two results that are each that far from the truth are at most
 * twice as far from each other; and the more their roundings agree, the nearer. Where one token more
 * or less is sent to an expert, they do not agree.
 * @module
 */
import { assert } from "@std/assert";

/** Of two results in f32, as a share of their size. */
export const F32_TOLERANCE = 1e-5;

/** Of two results of 16 bits, as a multiple of what the CPU's is from the truth. */
const BOTH_SIDES = 2;

/** Of two losses of 16 bits: means of many numbers, wrong by less than one of them is. */
const LOSS_TOLERANCE = { bf16: 2 ** -8, f16: 2 ** -11 };

/** Root of the sum of squares of a - b, or of a. */
export function norm(a: Float32Array, b?: Float32Array): number {
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - (b?.[i] ?? 0)) ** 2, 0));
}

/** Results of one computation by name. */
export type Results = ReadonlyMap<string, Float32Array>;

/**
 * Compares all results of the emulated device with those of the CPU in the same type.
 *
 * @param exact The CPU's in f32
 */
export function expectClose(
  dtype: "f32" | "bf16" | "f16",
  ours: Results,
  cpu: Results,
  exact: Results,
): void {
  const problems: string[] = [];
  for (const [name, theirs] of cpu) {
    const mine = ours.get(name);
    if (mine?.length !== theirs.length) {
      problems.push(`${name} is missing`);
      continue;
    }
    const off = norm(mine, theirs);
    const limit = dtype === "f32"
      ? F32_TOLERANCE * norm(theirs)
      : name === "loss"
      ? LOSS_TOLERANCE[dtype] * norm(theirs)
      : BOTH_SIDES * norm(theirs, exact.get(name)!);
    if (!(off <= limit)) problems.push(`${dtype} ${name}: differs by ${off}, may by ${limit}`);
  }
  assert(problems.length === 0 && ours.size === cpu.size, problems.join("\n"));
}
