import { assert, assertEquals } from "@std/assert";
import { packRows } from "../../src/data/pack_rows.ts";

Deno.test("packRows() puts every sample into one row, none over its length", () => {
  let s = 1;
  const next = (n: number) => (s = (Math.imul(s, 1103515245) + 12345) >>> 0) % n;
  for (let round = 0; round < 300; round++) {
    const S = 1 + next(40);
    const lengths = Array.from({ length: next(60) }, () => next(S + 1));
    const rows = packRows(lengths, S);
    const seen = rows.flat().sort((a, b) => a - b);
    assertEquals(seen, lengths.flatMap((length, i) => length > 0 ? [i] : []));
    for (const row of rows) {
      assert(row.reduce((sum, i) => sum + lengths[i]!, 0) <= S);
      assertEquals(row, [...row].sort((a, b) => a - b));
    }
    assertEquals(rows.map((row) => row[0]!), rows.map((row) => row[0]!).sort((a, b) => a - b));
    assertEquals(rows, packRows(lengths, S));
  }
});

Deno.test("packRows() needs no more rows than best fit decreasing by hand", () => {
  assertEquals(packRows([6, 3, 5, 4, 2], 10), [[0, 3], [1, 2, 4]]);
  assertEquals(packRows([10, 10, 1], 10), [[0], [1], [2]]);
  assertEquals(packRows([], 10), []);
  for (const S of [64, 100]) { // best fit decreasing is at most 11/9 of the best plus 4
    const lengths = Array.from({ length: 999 }, (_, i) => 1 + (i * 37) % S);
    const least = Math.ceil(lengths.reduce((a, b) => a + b, 0) / S);
    assert(packRows(lengths, S).length <= 11 / 9 * least + 4);
  }
});
