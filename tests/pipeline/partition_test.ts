import { assert, assertEquals, assertThrows } from "@std/assert";
import { balance, type LayerLoad, layerRanges } from "../../src/pipeline/partition.ts";

Deno.test("layerRanges() turns layer counts into ranges", () => {
  assertEquals(layerRanges([1, 5, 2], 8), [
    { begin: 0, end: 1 },
    { begin: 1, end: 6 },
    { begin: 6, end: 8 },
  ]);
});

Deno.test("layerRanges() refuses empty stages and wrong sums", () => {
  assertThrows(() => layerRanges([2, 0, 2], 4), RangeError, "stage 1 has 0");
  assertThrows(() => layerRanges([2, 2], 5), RangeError, "must be 5: current sum is 4");
});

/** All partitions of `count` layers into `stages` stages. */
function* partitions(count: number, stages: number): Generator<number[]> {
  if (stages === 1) return yield [count];
  for (let n = 1; n <= count - stages + 1; n++) {
    for (const rest of partitions(count - n, stages - 1)) yield [n, ...rest];
  }
}

function loadOf(
  layers: readonly LayerLoad[],
  parts: readonly number[],
  inFlight: (p: number) => number,
) {
  const sum = (list: readonly LayerLoad[], of: (l: LayerLoad) => number) =>
    list.reduce((total, l) => total + of(l), 0);
  const stages = layerRanges(parts, layers.length).map(({ begin, end }, p) => {
    const mine = layers.slice(begin, end);
    return {
      time: sum(mine, (l) => l.time),
      bytes: sum(mine, (l) => l.stateBytes ?? 0) +
        inFlight(p) * sum(mine, (l) => l.activationBytes ?? 0),
    };
  });
  return {
    time: Math.max(...stages.map((s) => s.time)),
    bytes: Math.max(...stages.map((s) => s.bytes)),
  };
}

Deno.test("balance() finds the fastest partition, and the smallest among those, of all there are", () => {
  let seed = 1;
  const random = (n: number) => (seed = seed * 48271 % 2147483647) % n;
  for (let round = 0; round < 60; round++) {
    const count = 3 + random(8);
    const stages = 1 + random(Math.min(5, count));
    const layers = Array.from({ length: count }, () => ({
      time: random(9),
      stateBytes: random(20),
      activationBytes: random(5),
    }));
    const inFlight = (p: number) => stages - p;
    const all = [...partitions(count, stages)].map((parts) => loadOf(layers, parts, inFlight));
    const sizes = all.map((l) => l.bytes).sort((a, b) => a - b);
    // Every other round, only half of the partitions fit.
    const capacityBytes = round % 2 ? sizes[Math.floor(sizes.length / 2)]! : Infinity;
    const fitting = all.filter((l) => l.bytes <= capacityBytes);
    const time = Math.min(...fitting.map((l) => l.time));
    const bytes = Math.min(...fitting.filter((l) => l.time === time).map((l) => l.bytes));
    const found = loadOf(layers, balance(layers, stages, { capacityBytes, inFlight }), inFlight);
    assertEquals(found, { time, bytes }, JSON.stringify({ layers, stages, capacityBytes }));
  }
});

Deno.test("balance() gives a heavy head fewer layers", () => {
  const blocks = Array.from({ length: 8 }, () => ({ time: 3 }));
  assertEquals(balance([{ time: 0 }, ...blocks, { time: 6 }], 2), [6, 4]);
});

Deno.test("balance() says which capacity would do", () => {
  const layers = [{ time: 1, stateBytes: 10 }, { time: 1, stateBytes: 30 }, {
    time: 1,
    stateBytes: 10,
  }];
  assertThrows(
    () => balance(layers, 2, { capacityBytes: 20 }),
    RangeError,
    "no stage may need more than 20 bytes: the best partition into 2 stages needs 40",
  );
});

Deno.test("balance() refuses more stages than layers and takes as many", () => {
  const layers = Array.from({ length: 3 }, () => ({ time: 1 }));
  assertEquals(balance(layers, 3), [1, 1, 1]);
  assertThrows(() => balance(layers, 4), RangeError, "3 layers cannot fill 4 stages");
});

Deno.test("balance() splits a thousand layers in no time", () => {
  const layers = Array.from({ length: 1000 }, (_, i) => ({ time: 1 + i % 3 }));
  const parts = balance(layers, 64);
  assertEquals(parts.reduce((a, b) => a + b), 1000);
  assert(Math.max(...parts) <= 17);
});
