/** AdamW and Lion over a parameter store against torch and DeepSpeed's kernel. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { openSafetensors } from "../../src/formats/safetensors.ts";
import { Optimizer, type OptimizerSpec } from "../../src/optim/optimizer.ts";
import { Device } from "../../src/tensor/device.ts";
import { ParameterStore } from "../../src/tensor/parameter.ts";

const FIXTURES = new URL("../fixtures/optim/", import.meta.url).pathname;

interface Setting {
  type: "AdamW" | "Lion";
  lr: number;
  betas: [number, number];
  eps?: number;
  weight_decay: number;
  zero_is_negative?: boolean;
  zero_gradient_step_first?: boolean;
}

const SETTINGS: Setting[] = JSON.parse(Deno.readTextFileSync(join(FIXTURES, "optimizers.json")));

function read(name: string): { shape: readonly number[]; values: Float32Array } {
  using file = openSafetensors(join(FIXTURES, "optimizers.safetensors"));
  return {
    shape: file.tensors.get(name)!.shape,
    values: new Float32Array(file.read(name).slice().buffer),
  };
}

SETTINGS.forEach((setting, i) => {
  const { type, lr, betas, eps = 0, weight_decay: weightDecay } = setting;
  Deno.test(`optimizer ${i}: ${JSON.stringify(setting)} equals the reference`, () => {
    const grads = read(`${i}.grads`);
    const params = read(`${i}.params`);
    const [steps, n] = grads.shape;
    using device = Device.open({ threads: 1 });
    const specs = [{ name: "w", shape: [n], init: { kind: "zeros" as const } }];
    const store = new ParameterStore(device, [{ layer: 0, parameters: specs }], {
      dtype: "f32",
      train: true,
    });
    const zeroStepRate = setting.zero_gradient_step_first ? lr : undefined;
    const spec: OptimizerSpec = type === "AdamW"
      ? { type, betas, eps, weightDecay, zeroStepRate }
      : {
        type,
        betas,
        weightDecay,
        zeroStepRate,
        zeroIsNegative: setting.zero_is_negative ?? false,
      };
    const optimizer = new Optimizer(device, store, spec, () => true);
    const [parameter] = store.parameters;
    device.upload(parameter.weight, params.values.slice(0, n));
    optimizer.start();
    for (let step = 0; step < steps; step++) {
      device.upload(parameter.grad!, grads.values.slice(step * n, (step + 1) * n));
      optimizer.step(lr, 1);
      const ours = device.downloadF32(parameter.weight);
      ours.forEach((value, k) => {
        const want = params.values[(step + 1) * n + k];
        // The kernel fuses what torch rounds twice: half an ulp a step, of twelve.
        const error = Math.abs(value - want);
        assert(
          error <= 1.5e-6 * Math.max(1, Math.abs(want)),
          `step ${step + 1}, weight ${k}: ${value}, expected ${want}`,
        );
      });
    }
    assertEquals(optimizer.updates, steps);
  });
});

Deno.test("optimizer: bf16 weights are the rounded master weights", () => {
  using device = Device.open({ threads: 1 });
  const specs = [{ name: "w", shape: [100], init: { kind: "zeros" as const } }];
  const store = new ParameterStore(device, [{ layer: 0, parameters: specs }], {
    dtype: "bf16",
    train: true,
  });
  const spec: OptimizerSpec = { type: "AdamW", betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0 };
  const optimizer = new Optimizer(device, store, spec, () => true);
  optimizer.start();
  device.kernels.fill(store.grads!.ptr, 1, store.size, store.grads!.code);
  // Each update is far below the precision of bf16 at 1: only the master weights can add them up.
  device.kernels.fill(optimizer.state(store.parameters[0]).master.ptr, 1, 100, 0);
  for (let step = 0; step < 64; step++) optimizer.step(1e-4, 1);
  const [weight] = device.downloadF32(store.parameters[0].weight);
  const [master] = device.downloadF32(optimizer.state(store.parameters[0]).master);
  assert(Math.abs(master - (1 - 64e-4)) < 1e-5, `master weight ${master}`);
  assert(Math.abs(weight - master) <= 2 ** -9, `weight ${weight}`);
  assert(weight < 1, "the weight never moved");
});
