import { assert, assertEquals, assertThrows } from "@std/assert";
import { createSampler, order, type SamplerOptions } from "../../src/data/sampler.ts";

const options: SamplerOptions = {
  rows: 23,
  seed: 3,
  shuffle: true,
  compat: "none",
  microBatch: 2,
  accumulation: 3,
  dataParallel: 2,
};

Deno.test("order() is a permutation for every n", () => {
  for (const n of [0, 1, 2, 3, 4, 5, 7, 10, 16, 17, 99, 100, 101, 1000, 4097]) {
    for (const seed of [0, 1, 2 ** 32, 2 ** 40 + 1]) {
      const at = order(n, seed, 0, true);
      const all = new Set(Array.from({ length: n }, (_, i) => at(i)));
      assertEquals(all.size, n);
      for (const row of all) assert(Number.isInteger(row) && row >= 0 && row < n);
    }
  }
});

Deno.test("order() differs by seed and epoch, and is the file order without shuffle", () => {
  const list = (seed: number, epoch: number, shuffle = true) =>
    Array.from({ length: 50 }, (_, i) => order(50, seed, epoch, shuffle)(i)).join();
  const orders = [
    list(0, 0),
    list(0, 1),
    list(1, 0),
    list(2 ** 32, 0),
    list(1, 1),
    list(0, 0, false),
  ];
  assertEquals(new Set(orders).size, orders.length);
  assertEquals(list(7, 3), list(7, 3));
  assertEquals(list(9, 9, false), Array.from({ length: 50 }, (_, i) => i).join());
});

Deno.test("order() puts every row at every place about equally often", () => {
  const n = 8, epochs = 8000;
  const counts = Array.from({ length: n }, () => new Array<number>(n).fill(0));
  for (let epoch = 0; epoch < epochs; epoch++) {
    const at = order(n, 1, epoch, true);
    for (let i = 0; i < n; i++) counts[i]![at(i)]!++;
  }
  for (const count of counts.flat()) assert(Math.abs(count - 1000) < 150, `${count} of 1000`);
});

Deno.test("a sampler gives every row once per epoch, epochs without a gap between them", () => {
  const sampler = createSampler(options);
  const rows: number[] = [];
  for (let step = 0; step < 23; step++) { // 23 steps of 12 are 12 epochs of 23
    for (let micro = 0; micro < 3; micro++) {
      for (const rank of [0, 1]) rows.push(...sampler.microBatchRows(step, micro, rank));
    }
  }
  for (let epoch = 0; epoch < 12; epoch++) {
    const seen = rows.slice(epoch * 23, (epoch + 1) * 23);
    assertEquals(new Set(seen).size, 23);
    assertEquals(seen, Array.from({ length: 23 }, (_, i) => order(23, 3, epoch, true)(i)));
  }
  assertEquals(sampler.batch, 12);
  assertEquals([sampler.steps(1), sampler.steps(12), sampler.steps(0.5)], [1, 23, 0]);
  assertEquals([0, 1, 2, 22].map((step) => sampler.epoch(step)), [0, 0, 1, 11]);
});

Deno.test("a step holds the same rows however they are spread over ranks and micro-batches", () => {
  const rowsOf = (microBatch: number, accumulation: number, dataParallel: number) => {
    const sampler = createSampler({ ...options, microBatch, accumulation, dataParallel });
    const rows: number[] = [];
    for (let micro = 0; micro < accumulation; micro++) {
      for (let rank = 0; rank < dataParallel; rank++) {
        rows.push(...sampler.microBatchRows(7, micro, rank));
      }
    }
    return rows.sort((a, b) => a - b);
  };
  for (const [b, m, r] of [[12, 1, 1], [1, 12, 1], [1, 1, 12], [2, 2, 3], [3, 4, 1]] as const) {
    assertEquals(rowsOf(b, m, r), rowsOf(2, 3, 2));
  }
});

Deno.test("a micro-batch holds the same rows however many ranks share the step", () => {
  const batches = (accumulation: number, dataParallel: number) => {
    const sampler = createSampler({ ...options, accumulation, dataParallel });
    const rows: string[] = [];
    for (let micro = 0; micro < accumulation; micro++) {
      for (let rank = 0; rank < dataParallel; rank++) {
        rows.push(sampler.microBatchRows(7, micro, rank).join());
      }
    }
    return rows;
  };
  assertEquals(batches(1, 6), batches(6, 1));
  assertEquals(batches(3, 2), batches(6, 1));
});

Deno.test("compat: gdgpt drops what does not fill a micro-batch and pads ranks from the start", () => {
  const sampler = createSampler({
    ...options,
    compat: "gdgpt",
    rows: 5,
    shuffle: false,
    accumulation: 1,
  });
  // 3 places a rank (0 2 4 | 1 3 0), one micro-batch of 2 an epoch
  assertEquals(sampler.microBatchRows(0, 0, 0), [0, 2]);
  assertEquals(sampler.microBatchRows(0, 0, 1), [1, 3]);
  assertEquals(sampler.microBatchRows(1, 0, 0), [0, 2]);
  assertEquals(sampler.epoch(4), 4);
  const short = { ...options, compat: "gdgpt" as const, rows: 2 };
  assertThrows(() => createSampler(short), RangeError, "need more than 2 rows");
});
