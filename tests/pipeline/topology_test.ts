import { assertEquals, assertThrows } from "@std/assert";
import { Topology } from "../../src/pipeline/topology.ts";

Deno.test("Topology is row-major over [pipe, data], as DeepSpeed's", () => {
  const grid = new Topology(4, 2);
  assertEquals(grid.worldSize, 8);
  assertEquals(
    Array.from({ length: 8 }, (_, r) => [grid.stage(r), grid.replica(r)]),
    [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [3, 0], [3, 1]],
  );
  for (let r = 0; r < 8; r++) assertEquals(grid.rank(grid.stage(r), grid.replica(r)), r);
  assertEquals(grid.stageRanks(1), [2, 3]);
  assertEquals(grid.replicaRanks(1), [1, 3, 5, 7]);
  assertEquals(grid.tiedRanks(1), [1, 7]);
});

Deno.test("Topology knows the neighbours of a rank in its own replica", () => {
  const grid = new Topology(3, 2);
  assertEquals([0, 1, 2, 3, 4, 5].map((r) => grid.previous(r)), [
    undefined,
    undefined,
    0,
    1,
    2,
    3,
  ]);
  assertEquals([0, 1, 2, 3, 4, 5].map((r) => grid.next(r)), [2, 3, 4, 5, undefined, undefined]);
});

Deno.test("Topology of one stage has no neighbours and one tied rank", () => {
  const grid = new Topology(1, 3);
  assertEquals([grid.previous(2), grid.next(2), grid.tiedRanks(2)], [undefined, undefined, [2]]);
});

Deno.test("Topology refuses places outside of the grid", () => {
  assertThrows(() => new Topology(0, 1), RangeError, "stages must be an integer >= 1: got 0");
  assertThrows(() => new Topology(2, 1.5), RangeError, "replicas must be an integer >= 1: got 1.5");
  const grid = new Topology(2, 2);
  assertThrows(() => grid.stage(4), RangeError, "rank must be from 0 to 3: got 4");
  assertThrows(() => grid.rank(2, 0), RangeError, "stage must be from 0 to 1: got 2");
  assertThrows(() => grid.rank(0, -1), RangeError, "replica must be from 0 to 1: got -1");
});
