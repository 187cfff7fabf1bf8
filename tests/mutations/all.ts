/** All seeded bugs, and what of the sources is left out where they are seeded. @module */
import { ATTENTION } from "./attention.ts";
import { KERNELS } from "./kernels.ts";
import type { Mutation } from "./mutation.ts";
import { PRODUCTS } from "./products.ts";
import { STREAMS } from "./streams.ts";

export type { Mode, Mutation } from "./mutation.ts";

/** In the order of the table. */
export const MUTATIONS: readonly Mutation[] = [...ATTENTION, ...KERNELS, ...PRODUCTS, ...STREAMS];

/** How often a text stands in another one. */
export function countOf(text: string, find: string): number {
  return text.split(find).length - 1;
}
