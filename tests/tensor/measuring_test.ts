/** A device that only measures holds, in numbers, what a real one holds after the same calls. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { NativeError } from "../../ffi/native_error.ts";
import { describeModel } from "../../src/models/registry.ts";
import { Stage, type StageIo } from "../../src/pipeline/engine.ts";
import type { StageSpec } from "../../src/pipeline/stage_layers.ts";
import { instructionsOf, schedules } from "../../src/pipeline/schedule.ts";
import type { Backend } from "../../src/tensor/choose_backend.ts";
import { Device } from "../../src/tensor/device.ts";
import { isAvailable } from "../ops/check_op.ts";

const MODELS = new URL("../fixtures/models/", import.meta.url);
const [B, S, M] = [3, 40, 2];

/** Workspace after a training step: on a device that measures, and on one that computes. */
function scratchOf(
  model: string,
  options: { backend: Backend; threads: number; attention: "flash" | "reference" },
  dtype: "f32" | "bf16",
): [measured: number, held: number] {
  const description = describeModel(
    JSON.parse(Deno.readTextFileSync(new URL(`${model}/hf/config.json`, MODELS))),
  );
  const spec: StageSpec = {
    ...{ model: description, from: 0, to: description.layers.length, dtype, B, S, M },
    ...{ slots: 1, checkpointing: false, seed: 1 },
  };
  const io: StageIo = {
    load: () => ({
      ...{ B, S, ids: new Int32Array(B * S).map((_, n) => n % 60), places: [0, 1, 2] },
      ...{ segments: new Int32Array(B * S).fill(1), targets: new Int32Array(B * S).fill(7) },
      ceScale: 1 / (B * S),
    }),
    send: () => ({ wait() {} }),
    receive() {},
    reduceGrads() {},
    step() {},
  };
  const grid = { P: 1, p: 0, M };
  const { instructions } = instructionsOf(schedules["1f1b"](grid), grid);
  using measuring = Device.measuring(options);
  const plan = new Stage(measuring, spec);
  plan.run(instructions, io);
  using device = Device.open(options);
  new Stage(device, spec, plan.memory()).run(instructions, io);
  return [measuring.scratchBytes, device.scratchBytes];
}

const CASES = [
  ["llama_gqa", "f32", "flash", 1],
  ["llama_gqa", "bf16", "flash", 2],
  ["bloom", "bf16", "flash", 1],
  ["chatglm3", "f32", "reference", 1],
  ["baichuan2", "bf16", "reference", 1],
] as const;

for (const backend of ["cpu", "cudaemu"] as const) {
  Deno.test({
    name: `${backend}: a device that measures counts the workspace that a step borrows`,
    ignore: !isAvailable(backend),
    fn: () => {
      for (const [model, dtype, attention, threads] of CASES) {
        const options = { backend, threads, attention };
        const [measured, held] = scratchOf(model, options, dtype);
        const name = `${model} in ${dtype}, ${attention}, ${threads} threads`;
        assert(held > 0, name);
        assertEquals(measured, held, name);
      }
      // Which experts get how many rows only the data tells: the most that may be is counted
      const options = { backend, threads: 1, attention: "flash" } as const;
      const [measured, held] = scratchOf("mixtral", options, "f32");
      assert(held <= measured && measured < 2 * held, `${measured} for ${held}`);
    },
  });

  Deno.test({
    name: `${backend}: a device that measures allocates without memory, and has no events`,
    ignore: !isAvailable(backend),
    fn: () => {
      using device = Device.measuring({ backend });
      const bytes = 1e15; // no machine has it
      const [a, b] = [device.region(bytes), device.region(bytes)];
      const address = (ptr: Deno.PointerValue) => Deno.UnsafePointer.value(ptr);
      assert(address(b.ptr) >= address(a.ptr) + BigInt(bytes));
      device.kernels.zero(a.ptr, bytes); // touches nothing
      device.free(a);
      assertEquals(device.context!.memory(), { nowBytes: bytes, peakBytes: 2 * bytes });
      assertThrows(() => device.context!.createEvent(), NativeError, "measures has no events");
    },
  });
}
