/**
 * Training with streams that run late: under emulation, work runs only when something waits for it,
 * and streams interleave at random as far as events allow. A send that overlaps with compute and
 * waits for one event too few gives other bits.
 */
import { assertEquals } from "@std/assert";
import { isAvailable } from "../ops/check_op.ts";
import { PARITY_MODELS, S } from "./parity_models.ts";
import { type Dims, prepare, run } from "./parity_run.ts";

/** Four micro-batches: the slots of a stage, and what it sends from them, are used again in a step. */
const LENGTHS = [S, 33, 12, 50];

for (
  const [name, dims] of [["llama", [2, 1]], ["mixtral", [2, 1]], ["llama", [1, 2]]] as [
    string,
    Dims,
  ][]
) {
  Deno.test({
    name: `${name} in [${dims}] learns the same to the last bit when streams run late`,
    ignore: !isAvailable("cudaemu"),
    fn: async () => {
      const dir = prepare(PARITY_MODELS.find((model) => model.name === name)!, LENGTHS);
      try {
        const results = [];
        for (const streams of ["immediate", "deferred"]) {
          const env = { LLMPIPE_EMU_STREAMS: streams };
          const { metrics } = await run(dir, { device: "cudaemu", dims, samples: 4, env });
          results.push(metrics.map(({ loss, grad_norm, aux_loss }) => [loss, grad_norm, aux_loss]));
        }
        assertEquals(results[1], results[0]);
      } finally {
        Deno.removeSync(dir, { recursive: true });
      }
    },
  });
}
