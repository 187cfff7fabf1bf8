/** Where the time of one training step goes, native op by native op. @module */
import type { Kernels } from "../../ffi/kernels.ts";
import { loadConfig } from "../../src/config/load.ts";
import { initializeWeights } from "../../src/models/load_weights.ts";
import { Stage } from "../../src/pipeline/engine.ts";
import type { MicroBatchInput } from "../../src/pipeline/stage_layers.ts";
import { Device } from "../../src/tensor/device.ts";
import type { FloatType } from "../../src/tensor/dtype.ts";
import { makeOptimizer, planRank, programOf, stageSpec } from "../../src/train/layout.ts";
import { describeConfigured } from "../../src/train/prepare.ts";

interface Row {
  calls: number;
  ms: number;
  operations: number;
}

/** Times every call. Products are told apart by their shapes. */
function timed(kernels: Kernels, rows: Map<string, Row>): Kernels {
  return new Proxy(kernels, {
    get(target, name) {
      const method = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: number[]) => {
        const start = performance.now();
        const result = method.apply(target, args);
        const ms = performance.now() - start;
        const isGemm = name === "gemm";
        const [, , , m, n, k, , , , ta, tb] = args;
        const key = isGemm
          ? `gemm ${m}x${n}x${k} ${ta ? "t" : "n"}${tb ? "t" : "n"}`
          : String(name);
        const row = rows.get(key) ?? { calls: 0, ms: 0, operations: 0 };
        row.calls++;
        row.ms += ms;
        if (isGemm) row.operations += 2 * m * n * k;
        rows.set(key, row);
        return result;
      };
    },
  });
}

/** Runs two steps on one rank and prints a table of the second. */
export function profileStep(configPath: string, dtype: FloatType): void {
  const config = loadConfig(configPath, [
    "model_topo.process_topology.dims=[1, 1]",
    "model_topo.parts=auto",
    `bf16.enabled=${dtype === "bf16"}`,
    `fp16.enabled=${dtype === "f16"}`,
  ]);
  const model = describeConfigured(config);
  const spec = stageSpec(config, model, [model.layers.length], 0);
  const memory = planRank(config, spec, 0, { backend: "cpu", threads: config.threads });
  const rows = new Map<string, Row>();
  using device = Device.open({ observe: (kernels) => timed(kernels, rows) });
  const stage = new Stage(device, spec, memory);
  initializeWeights(device, stage.store, 0);
  const optimizer = makeOptimizer(device, stage.store, config);
  optimizer.start();
  const { B, S, M } = spec;
  const input: MicroBatchInput = {
    B,
    S,
    ids: Int32Array.from({ length: B * S }, (_, n) => n * 7919 % model.vocabSize),
    segments: new Int32Array(B * S).fill(1),
    targets: Int32Array.from({ length: B * S }, (_, n) => n * 104729 % model.vocabSize),
    ceScale: 1 / (M * B * S),
    places: new Array(B).fill(0),
  };
  const step = () =>
    stage.run(programOf(config, 0).instructions, {
      load: () => input,
      send: () => ({ wait() {} }),
      receive() {},
      reduceGrads() {},
      step() {
        optimizer.step(1e-4, 1);
        if (stage.store.grads) device.zero(stage.store.grads);
      },
    });
  step();
  rows.clear();
  const start = performance.now();
  step();
  const total = performance.now() - start;
  const inside = [...rows.values()].reduce((sum, row) => sum + row.ms, 0);
  rows.set("outside native code", { calls: 0, ms: total - inside, operations: 0 });
  console.log(`One step in ${dtype}: ${total.toFixed(0)} ms, ${B * S * M} tokens`);
  console.table(Object.fromEntries(
    [...rows].sort((a, b) => b[1].ms - a[1].ms).slice(0, 24).map(([name, row]) => [name, {
      calls: row.calls,
      ms: row.ms.toFixed(1),
      share: `${(100 * row.ms / total).toFixed(1)} %`,
      "GFLOP/s": row.operations ? (row.operations / row.ms / 1e6).toFixed(0) : "",
    }]),
  ));
}
