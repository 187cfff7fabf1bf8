/** Logits, loss and all gradients of every family: the emulated CUDA backend against the CPU. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";
import { computeLogits } from "../../src/inference/logits.ts";
import { isAvailable } from "../ops/check_op.ts";
import { PARITY_MODELS, S, tokensOf, writeModel } from "./parity_models.ts";
import { expectClose, type Results } from "./parity_tolerance.ts";

/** Real tokens of each row; the rest is padding. */
const LENGTHS = [S, 37];

/** A row that is full, and one with padding on the right and a part without a loss. */
function writeBatch(path: string): void {
  const B = LENGTHS.length;
  const [ids, mask, labels] = [0, 0, -100].map((value) =>
    new BigInt64Array(B * S).fill(BigInt(value))
  );
  tokensOf(LENGTHS).forEach((row, b) =>
    row.forEach((id, t) => {
      ids[b * S + t] = BigInt(id);
      mask[b * S + t] = 1n;
      if (b === 0 || t > 4) labels[b * S + t] = BigInt(id);
    })
  );
  writeSafetensors(
    path,
    Object.entries({ input_ids: ids, attention_mask: mask, labels }).map(([name, values]) => ({
      name,
      dtype: "I64" as const,
      shape: [B, S],
      chunks: () => [new Uint8Array(values.buffer)],
    })),
  );
}

function readAll(path: string): Results {
  using file = openSafetensors(path);
  return new Map(
    [...file.tensors.keys()].map((
      name,
    ) => [name, new Float32Array(file.read(name).slice().buffer)]),
  );
}

for (const model of PARITY_MODELS) {
  Deno.test({
    name: `${model.name}: logits, loss and gradients of cudaemu equal those of cpu in every type`,
    ignore: !isAvailable("cudaemu"),
    fn: () => {
      const dir = Deno.makeTempDirSync({ prefix: "llmpipe-parity-" });
      const [modelPath, input, output] = ["model", "in", "out"].map((name) => join(dir, name));
      try {
        writeModel(model, modelPath);
        writeBatch(input);
        const compute = (device: "cpu" | "cudaemu", dtype: "f32" | "bf16" | "f16"): Results => {
          computeLogits({ modelPath, input, output, zLoss: 1e-2, grads: "all", dtype, device });
          return readAll(output);
        };
        const exact = compute("cpu", "f32");
        assertEquals(exact.get("logits")!.length, LENGTHS.length * S * 100);
        assert([...exact.keys()].filter((name) => name.startsWith("grad.")).length > 10);
        expectClose("f32", compute("cudaemu", "f32"), exact, exact);
        for (const dtype of ["bf16", "f16"] as const) {
          expectClose(dtype, compute("cudaemu", dtype), compute("cpu", dtype), exact);
        }
      } finally {
        Deno.removeSync(dir, { recursive: true });
      }
    },
  });
}
