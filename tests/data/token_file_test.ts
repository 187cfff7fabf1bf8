import { assertEquals, assertThrows } from "@std/assert";
import { emptyStats } from "../../src/data/data_stats.ts";
import { allocateMicroBatch, loadMicroBatch } from "../../src/data/micro_batch.ts";
import { RowWriter } from "../../src/data/row_writer.ts";
import { TokenDataset } from "../../src/data/token_dataset.ts";
import { type Segment, TABLE_ROWS, TokenFileWriter } from "../../src/data/token_file.ts";

function segment(ids: number[], labels: (number | "id")[] = ids.map(() => "id")): Segment {
  return {
    ids: Int32Array.from(ids),
    labels: Int32Array.from(labels, (label, t) => label === "id" ? ids[t]! : label),
  };
}

function withFile<T>(rows: Segment[][], S: number, use: (dataset: TokenDataset) => T): T {
  const path = Deno.makeTempFileSync();
  try {
    {
      using file = Deno.openSync(path, { write: true });
      const writer = new TokenFileWriter(file);
      for (const row of rows) writer.row(row);
      writer.finish({ rowLength: S, padId: 9, packing: true, stats: emptyStats() });
    }
    using dataset = TokenDataset.open(path);
    return use(dataset);
  } finally {
    Deno.removeSync(path);
  }
}

function fill(dataset: TokenDataset, row: number) {
  const [ids, labels, segments] = [0, 1, 2].map(() => new Int32Array(dataset.S).fill(77));
  dataset.fill(row, ids!, labels!, segments!);
  return { ids: [...ids!], labels: [...labels!], segments: [...segments!] };
}

Deno.test("a token file gives back every row: narrow, wide, own labels, packed, full, empty", () => {
  const rows = [
    [segment([1, 2, 3], [-100, "id", "id"])],
    [segment([70000, 2], ["id", -100])],
    [segment([4, 5, 6], [-100, 1, 0])],
    [segment([1, 2], ["id", "id"]), segment([3], [-100]), segment([4, 65535], [-100, "id"])],
    [segment([1, 2, 3, 4, 5, 6])],
    [],
  ];
  withFile(rows, 6, (dataset) => {
    assertEquals([dataset.length, dataset.S], [6, 6]);
    const n = -100;
    assertEquals(fill(dataset, 0), {
      ids: [1, 2, 3, 9, 9, 9],
      labels: [n, 2, 3, n, n, n],
      segments: [1, 1, 1, 0, 0, 0],
    });
    assertEquals(fill(dataset, 1).ids, [70000, 2, 9, 9, 9, 9]);
    assertEquals(fill(dataset, 1).labels, [70000, n, n, n, n, n]);
    assertEquals(fill(dataset, 2).labels, [n, 1, 0, n, n, n]);
    assertEquals(fill(dataset, 3), {
      ids: [1, 2, 3, 4, 65535, 9],
      labels: [1, 2, n, n, 65535, n],
      segments: [1, 1, 2, 3, 3, 0],
    });
    assertEquals(fill(dataset, 4).segments, [1, 1, 1, 1, 1, 1]);
    assertEquals(fill(dataset, 5), {
      ids: [9, 9, 9, 9, 9, 9],
      labels: [n, n, n, n, n, n],
      segments: [0, 0, 0, 0, 0, 0],
    });
    assertEquals(rows.map((_, row) => dataset.lossTokens(row)), [2, 0, 2, 2, 5, 0]);
    assertThrows(() => dataset.lossTokens(6), RangeError, "there are 6 rows");
    assertThrows(
      () => dataset.fill(0, new Int32Array(5), new Int32Array(6), new Int32Array(6)),
      RangeError,
      "must be [6]",
    );
  });
});

Deno.test("a token file finds rows behind more than one table", () => {
  const count = TABLE_ROWS * 2 + 3;
  const rows = Array.from({ length: count }, (_, i) => [segment([i % 50000, (i * 7) % 65536])]);
  withFile(rows, 2, (dataset) => {
    assertEquals(dataset.length, count);
    for (const i of [0, 1, TABLE_ROWS - 1, TABLE_ROWS, TABLE_ROWS + 1, 2 * TABLE_ROWS, count - 1]) {
      assertEquals(fill(dataset, i).ids, [i % 50000, (i * 7) % 65536]);
      assertEquals(dataset.lossTokens(i), 1);
    }
  });
});

Deno.test("loadMicroBatch() shifts labels inside each sample and counts tokens", () => {
  const rows = [
    [segment([1, 2, 3], [-100, "id", "id"]), segment([4, 5])],
    [segment([6, 7, 8, 9], ["id", "id", -100, "id"])],
  ];
  withFile(rows, 6, (dataset) => {
    const n = -100;
    const batch = loadMicroBatch(dataset, [1, 0, 1]);
    assertEquals([batch.B, batch.S, batch.lossTokens, batch.tokens], [3, 6, 2 + 3 + 2, 4 + 5 + 4]);
    assertEquals([...batch.ids.subarray(6, 12)], [1, 2, 3, 4, 5, 9]);
    assertEquals([...batch.targets], [7, n, 9, n, n, n, 2, 3, n, 5, n, n, 7, n, 9, n, n, n]);
    assertEquals([...batch.segments.subarray(6)], [1, 1, 1, 2, 2, 0, 1, 1, 1, 1, 0, 0]);
    const lossTokens = [1, 0, 1].reduce((sum, row) => sum + dataset.lossTokens(row), 0);
    assertEquals(batch.lossTokens, lossTokens);
    const room = allocateMicroBatch(1, 6);
    assertEquals(loadMicroBatch(dataset, [0], room), room);
    assertEquals(room.lossTokens, 3);
    assertThrows(() => loadMicroBatch(dataset, [0, 1], room), RangeError, "[2, 6]");
  });
});

Deno.test("the last token of a full row predicts nothing", () => {
  withFile([[segment([1, 2, 3])]], 3, (dataset) => {
    assertEquals([...loadMicroBatch(dataset, [0]).targets], [2, 3, -100]);
  });
});

Deno.test("RowWriter packs samples of a window and refuses to fill rows without a padding id", () => {
  const path = Deno.makeTempFileSync();
  using file = Deno.openSync(path, { write: true });
  const writer = new TokenFileWriter(file);
  const packed = new RowWriter(writer, { rowLength: 4, packing: true, padId: 0 });
  for (const sample of [[1, 1], [2, 2, 2], [3], [], [4, 4]]) packed.add(segment(sample));
  packed.end();
  assertEquals(writer.rows, 2);
  const strict = new RowWriter(writer, { rowLength: 4, packing: false, padId: undefined });
  strict.add(segment([1, 2, 3, 4]));
  assertThrows(() => strict.add(segment([1])), Error, "neither pad_token nor unk_token");
  Deno.removeSync(path);
});

Deno.test("TokenDataset refuses what is not a whole token file", () => {
  const path = Deno.makeTempFileSync();
  Deno.writeTextFileSync(path, "{}");
  assertThrows(() => TokenDataset.open(path), TypeError, "shorter than it says");
  Deno.writeTextFileSync(path, "x".repeat(100));
  assertThrows(() => TokenDataset.open(path), TypeError, "not a token file");
  Deno.removeSync(path);
});
