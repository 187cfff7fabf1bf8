import { assertEquals } from "@std/assert";
import { Log } from "../../src/monitor/log.ts";
import { memoryTable, totalBytes } from "../../src/monitor/memory_table.ts";

Deno.test("Log writes lines of at least its level, continued lines indented", () => {
  const lines: string[] = [];
  const now = () => new Date(2024, 0, 2, 3, 4, 5);
  const log = new Log({ level: "info", print: (line) => lines.push(line), now });
  log.debug("unseen");
  log.info("one\ntwo");
  log.warn("three");
  log.error("four");
  assertEquals(lines, [
    "03:04:05 info  one\n               two",
    "03:04:05 warn  three",
    "03:04:05 error four",
  ]);
});

Deno.test("memoryTable() lines up stages, their sum and what was measured", () => {
  const row = { weights: 2 ** 30, gradients: 2 ** 31, optimizer: 3 * 2 ** 31, activations: 0 };
  const rows = [{ stage: 0, ...row, workspace: 512 }, { stage: 1, ...row, workspace: 2 ** 20 }];
  assertEquals(totalBytes(rows[0]), 9 * 2 ** 30 + 512);
  assertEquals(memoryTable(rows, [2 ** 33, 2 ** 33]).split("\n"), [
    "stage  weights  gradients  optimizer  activations  workspace    total  measured",
    "    0  1.0 GiB    2.0 GiB    6.0 GiB          0 B      512 B  9.0 GiB   8.0 GiB",
    "    1  1.0 GiB    2.0 GiB    6.0 GiB          0 B    1.0 MiB  9.0 GiB   8.0 GiB",
  ]);
});
