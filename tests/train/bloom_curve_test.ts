/** Twenty steps of bloom, whose embedding is tied across the stages, against torch. */
import { assert } from "@std/assert";
import { compareWeights, expectCurve, runReference } from "./reference_curve.ts";

const HEAD_WIDTH = 8;

/**
 * Biases of keys, [H, 3, K] in those of query_key_value: they move all scores of a query alike, so
 * their gradient is 0 but for rounding, which Adam divides by its own size.
 */
function isKeyBias(name: string, i: number): boolean {
  return name.endsWith("query_key_value.bias") && Math.floor(i / HEAD_WIDTH) % 3 === 1;
}

for (const dims of [[1, 1], [2, 1], [2, 2]] as [number, number][]) {
  Deno.test(`bloom, adamw with z-loss on dims [${dims}] follows torch`, async () => {
    const { log, result, dir } = await runReference("bloom/adamw_max_z", { dims });
    try {
      expectCurve(log, result, 1e-4);
      const { share, worst } = compareWeights(
        "bloom/adamw_max_z",
        result.savePath,
        1e-4,
        isKeyBias,
      );
      assert(share > 0.9999, `${share} of the weights are within 1e-4, the worst is ${worst} off`);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });

  Deno.test(`bloom, lion on dims [${dims}] follows torch, but for signs that flip`, async () => {
    const { log, result, dir } = await runReference("bloom/lion", { dims });
    try {
      expectCurve(log, result, 1e-3);
      const { share, worst } = compareWeights("bloom/lion", result.savePath, 1e-5);
      assert(share > 0.995, `${share} of the weights are within 1e-5`);
      assert(worst <= 2 * log.optimizer.lr * log.steps.length, `the worst is ${worst} off`);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}
