/**
 * Attention on tensor cores, under emulation: numbers, bits that no order of threads, blocks and
 * streams changes, and tiles that are read without bank conflicts.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { openContext } from "../../ffi/context.ts";
import { checkCase, random, runCase, shapeOf } from "../ops/attention_case.ts";
import { BACKENDS, isAvailable, settingsOf } from "../ops/check_op.ts";
import { countersOf } from "../ops/emulation.ts";
import { TILE_CASES } from "./attention_cases.ts";

for (const backend of BACKENDS.filter((name) => name !== "cpu")) {
  const ignore = !isAvailable(backend);
  for (const [i, given] of TILE_CASES.entries()) {
    const type = i % 2 === 0 ? "bf16" : "f16";
    Deno.test({
      name: `attention in tiles matches its formula in any order: ${given.title} (${backend})`,
      ignore,
      fn: () => {
        using context = openContext({ backend, threads: 1 });
        const before = backend.startsWith("cudaemu") ? countersOf(backend) : null;
        checkCase(given, context, context, settingsOf(backend), [type], ["flash"]);
        // Rows of the right alignment, or it would be another kernel that was tested
        const isEmpty = given.title.includes("nothing seen");
        if (before && !isEmpty) assert(countersOf(backend).matrixLoads > before.matrixLoads);
      },
    });
  }

  Deno.test({
    name: `attention reads its tiles without bank conflicts (${backend})`,
    ignore: ignore || !backend.startsWith("cudaemu"),
    fn: () => {
      using context = openContext({ backend, threads: 1 });
      for (const K of [64, 80, 96, 128]) {
        const given = { title: `${K}`, K, Tq: 70, Tk: 70, B: 1, H: 1, G: 1, aligned: true };
        const { B, Tq, Tk, H, G } = shapeOf(given);
        const x = {
          q: random(B * Tq * H * K, 1, "bf16"),
          k: random(B * Tk * G * K, 2, "bf16"),
          v: random(B * Tk * G * K, 3, "bf16"),
        };
        const before = countersOf(backend);
        runCase(context, given, "bf16", x, random(B * Tq * H * K, 4, "bf16"), 0);
        const after = countersOf(backend);
        if (K === 64) assert(after.matrixLoads > before.matrixLoads);
        assertEquals(after.bankConflicts - before.bankConflicts, 0, `bank conflicts, ${K} wide`);
      }
    },
  });
}
