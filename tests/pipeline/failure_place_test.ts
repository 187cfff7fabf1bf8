/** A native call that fails says in which pass of which micro-batch and layer, and on which tensor. */
import { assertEquals, assertThrows } from "@std/assert";
import { NativeError } from "../../ffi/native_error.ts";
import type { Kernels } from "../../ffi/kernels.ts";
import { describeModel } from "../../src/models/registry.ts";
import { Stage, type StageIo } from "../../src/pipeline/engine.ts";
import type { StageSpec } from "../../src/pipeline/stage_layers.ts";
import { instructionsOf, schedules } from "../../src/pipeline/schedule.ts";
import { Device } from "../../src/tensor/device.ts";
import { namingTensors, TensorNames } from "../../src/tensor/native_failure.ts";

const CONFIG = JSON.parse(
  Deno.readTextFileSync(
    new URL("../fixtures/models/llama_gqa/hf/config.json", import.meta.url),
  ),
);
const S = 8;

/** Runs a step of one micro-batch on the CPU; returns how it failed. */
function failureOf(
  { ids = new Int32Array(S), checkpointing = false, observe = (kernels: Kernels) => kernels },
): NativeError {
  const model = describeModel(CONFIG);
  const spec: StageSpec = {
    ...{ model, from: 0, to: model.layers.length, dtype: "f32", B: 1, S, M: 1, slots: 1 },
    ...{ checkpointing, seed: 1 },
  };
  const io: StageIo = {
    load: () => ({
      ...{ B: 1, S, ids, segments: new Int32Array(S).fill(1), targets: new Int32Array(S) },
      ...{ ceScale: 1 / S, places: [0] },
    }),
    send: () => ({ wait() {} }),
    receive() {},
    reduceGrads() {},
    step() {},
  };
  const grid = { P: 1, p: 0, M: 1 };
  const { instructions } = instructionsOf(schedules["1f1b"](grid), grid);
  const plan = new Stage(Device.dry(), spec);
  plan.run(instructions, io);
  const names = new TensorNames();
  using device = Device.open({
    threads: 1,
    observe: (kernels) => namingTensors(observe(kernels), names),
  });
  const stage = new Stage(device, spec, plan.memory());
  names.add(stage.store.parameters);
  return assertThrows(() => stage.run(instructions, io), NativeError);
}

/** The ops, of which the nth call of one fails. */
function failing(op: keyof Kernels, nth: number): (kernels: Kernels) => Kernels {
  return (kernels) => ({
    ...kernels,
    [op]: (...args: unknown[]) => {
      if (--nth === 0) throw new NativeError("EDEVICE", `${op}: the device is lost`);
      (kernels[op] as (...args: unknown[]) => void)(...args);
    },
  });
}

Deno.test("a token outside the vocabulary is told with its pass, layer and tensor", () => {
  const { message, status } = failureOf({ ids: new Int32Array(S).fill(12345) });
  assertEquals(status, "EINVAL");
  assertEquals(
    message,
    "forward of micro-batch 0, layer 0: 0.embed_tokens.weight: embedding_forward: " +
      "id must be in 0..V-1 with V = 400, found 12345 in row 0",
  );
});

for (const checkpointing of [false, true]) {
  const how = checkpointing ? "computed again" : "kept";
  Deno.test(`a failure in the backward pass names the layer, with activations ${how}`, () => {
    const { message } = failureOf({ checkpointing, observe: failing("rmsNormBackward", 4) });
    assertEquals(
      message,
      "backward of micro-batch 0, layer 3: 3.post_attention_layernorm.weight: " +
        "rmsNormBackward: the device is lost",
    );
  });
}

Deno.test("an op without parameters names its layer", () => {
  const { message } = failureOf({ observe: failing("attentionForward", 2) });
  assertEquals(
    message,
    "forward of micro-batch 0, layer 2: attentionForward: the device is lost",
  );
});

Deno.test("a gradient is named where the weight takes no part", () => {
  const names = new TensorNames();
  using device = Device.open({ threads: 1 });
  const [weight, grad] = [device.zeros([4], "f32"), device.zeros([4], "f32")];
  names.add([
    {
      layer: 1,
      spec: { name: "w", shape: [4], init: { kind: "ones" } },
      path: "1.w",
      pipelineName: "1.w",
      weight,
      grad,
      begin: 0,
    },
  ]);
  assertEquals(names.find([3, grad.at(2), null]), ["the gradient of 1.w"]);
  assertEquals(names.find([weight.ptr, grad.ptr]), ["1.w"]);
  assertEquals(names.find([weight.at(4)]).includes("1.w"), false);
});
