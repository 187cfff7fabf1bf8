import { assert, assertEquals } from "@std/assert";
import { describeConfig, keyLines } from "../../src/config/describe.ts";

Deno.test("keyLines() documents every key once", () => {
  const lines = keyLines();
  const paths = lines.map((l) => l.path);
  assertEquals(new Set(paths).size, paths.length, String(paths));
  for (const line of lines) assert(line.doc !== "" && line.type !== "", line.path);
});

Deno.test("keyLines() tells types and defaults", () => {
  const line = (path: string) => keyLines().find((l) => l.path === path);
  assertEquals(line("n_epoches"), {
    path: "n_epoches",
    type: "an integer of at least 1",
    initial: "required",
    doc: "Passes over the data",
  });
  assertEquals(line("optimizer.params.betas (Lion)")!.initial, "[0.9,0.99]");
  assertEquals(line("scheduler.params.warmup_type (WarmupLR)")!.type, "one of log, linear");
  assertEquals(line("model_topo.parts")!.initial, '"auto"');
});

Deno.test("describeConfig() is a Markdown table with a row for each key", () => {
  const rows = describeConfig().trimEnd().split("\n");
  assertEquals(rows.length, keyLines().length + 2);
  for (const row of rows) assertEquals(row.replaceAll("\\|", "").match(/\|/g)!.length, 5, row);
});
