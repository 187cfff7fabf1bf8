/** Problems whose kernels run on tensor cores: every width, every border, all stages in use. @module */
import type { Case } from "../ops/attention_case.ts";
import { causal } from "../ops/attention_case.ts";

/** Lengths of packed samples: 5, 90, 100, then the rest. */
function packed(_b: number, t: number): [number, number] {
  return [[195, 95, 5, 0].find((at) => at <= t)!, t + 1];
}

const slope = (h: number) => 2 ** (-2 * h - 2);

/** More than four tiles of keys and of queries where a pipeline must wrap around. */
export const TILE_CASES: Case[] = [
  {
    title: "64, causal, fused",
    ...{ K: 64, Tq: 290, Tk: 290, B: 1, H: 1, G: 1, fused: true, aligned: true },
  },
  {
    title: "64, packed, a group of two",
    ...{ K: 64, Tq: 260, Tk: 260, B: 1, H: 2, G: 1, limits: packed, aligned: true },
  },
  { title: "64, two sequences shorter than a tile", K: 64, Tq: 9, Tk: 9, aligned: true },
  {
    title: "64, padding on the left, negative scale",
    ...{ K: 64, Tq: 70, Tk: 70, H: 1, G: 1, scale: -0.1, aligned: true },
    limits: (b, t) => t < 19 + b ? [0, 0] : [19 + b, t + 1],
  },
  { title: "64, dropout", K: 64, Tq: 150, Tk: 150, B: 1, H: 2, G: 1, dropout: 0.4, aligned: true },
  {
    title: "64, biases, a sliding window, two groups of two",
    ...{ K: 64, Tq: 150, Tk: 150, B: 1, H: 4, G: 2, slope, aligned: true },
    limits: (_, t) => [Math.max(0, t - 70), t + 1],
  },
  {
    title: "80, a sliding window with biases",
    ...{ K: 80, Tq: 280, Tk: 280, B: 1, H: 1, G: 1, slope, aligned: true },
    limits: (_, t) => [Math.max(0, t - 70), t + 1],
  },
  {
    title: "96, a prefix seen from everywhere, dropout and biases",
    ...{ K: 96, Tq: 170, Tk: 170, B: 1, H: 2, G: 1, slope, dropout: 0.25, aligned: true },
    limits: (_, t) => [0, Math.max(t + 1, 70)],
  },
  {
    title: "128, causal, fused",
    ...{ K: 128, Tq: 200, Tk: 200, B: 1, H: 1, G: 1, fused: true, aligned: true },
  },
  {
    title: "128, after a cache, biases, a group of two",
    ...{ K: 128, Tq: 40, Tk: 300, B: 1, H: 2, G: 1, slope, room: 3, aligned: true },
    limits: (_, t) => [7, 260 + t],
  },
  {
    title: "128, dropout, everything seen",
    ...{ K: 128, Tq: 70, Tk: 140, B: 1, H: 1, G: 1, dropout: 0.1, aligned: true },
    limits: () => [0, 140],
  },
  {
    title: "80, dropout in two groups",
    ...{ K: 80, Tq: 100, Tk: 100, B: 1, H: 2, G: 2, dropout: 0.3, aligned: true },
  },
  {
    title: "128, nothing seen",
    ...{ K: 128, Tq: 20, Tk: 20, B: 1, aligned: true },
    limits: () => [0, 0],
  },
  { title: "96, causal", K: 96, Tq: 140, Tk: 140, B: 1, H: 1, G: 1, limits: causal, aligned: true },
];
