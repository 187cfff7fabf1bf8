/** Weights of a stage: read from a model directory, or started from scratch. @module */
import { join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import type { ModelSource } from "../checkpoint/model_source.ts";
import type { Device } from "../tensor/device.ts";
import { BYTES_PER_ELEMENT, type FloatType } from "../tensor/dtype.ts";
import type { Parameter, ParameterSpec, ParameterStore } from "../tensor/parameter.ts";
import { streamSeed } from "../tensor/stream_seed.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { ModelDescription } from "./model.ts";
import { describeModel } from "./registry.ts";

/** Storage types of files by their safetensors name. */
const STORED: Readonly<Record<string, FloatType>> = { F32: "f32", BF16: "bf16", F16: "f16" };

/**
 * Describes the model of a directory and checks its tensors. Reads no weights.
 *
 * @throws {ConfigError} On a config.json that is not supported, and naming every tensor that is
 * missing or has another shape or type
 */
export function checkSource(source: ModelSource): ModelDescription {
  const model = describeModel(source.config, join(source.configDir, "config.json"));
  checkWeights(model, source);
  return model;
}

/**
 * Checks that the tensors of a model directory are those of the model. Reads no weights.
 *
 * @throws {ConfigError} Naming every tensor that is missing or has another shape or type
 */
export function checkWeights(model: ModelDescription, source: ModelSource): void {
  const problems = model.layers.flatMap((specs, layer) =>
    specs.flatMap((spec) => checkEntry(layer, spec, source))
  );
  if (problems.length) throw new ConfigError(problems);
}

/**
 * Reads the weights of every parameter of the store, piece by piece.
 *
 * Values of another type are cast on the device; they stand in the gradients meanwhile, which are
 * zero afterwards, so that a store that trains needs no memory beside its own.
 *
 * @throws {ConfigError} Naming every tensor that is missing or has another shape or type
 */
export function loadWeights(device: Device, store: ParameterStore, source: ModelSource): void {
  const problems = store.parameters.flatMap((p) => checkEntry(p.layer, p.spec, source));
  if (problems.length) throw new ConfigError(problems);
  for (const parameter of store.parameters) {
    const { layer, spec, weight, grad } = parameter;
    const stored = STORED[source.entry(layer, spec.name).dtype];
    const isSame = stored === weight.dtype;
    for (const { bytes, first } of piecesOf(source, parameter, stored)) {
      const shape = [bytes.length / BYTES_PER_ELEMENT[stored]];
      if (isSame) device.upload(weight.view(first, shape), bytes);
      else castOnDevice(device, bytes, new Tensor(grad?.ptr ?? null, shape, stored), weight, first);
    }
    if (!isSame && grad) device.zero(grad);
  }
}

function* piecesOf(
  source: ModelSource,
  { layer, spec }: Parameter,
  stored: FloatType,
): Generator<{ bytes: Uint8Array; first: number }> {
  let first = 0;
  for (const bytes of source.chunks(layer, spec.name)) {
    yield { bytes, first };
    first += bytes.length / BYTES_PER_ELEMENT[stored];
  }
}

/** Casts `bytes` into `weight` from element `first` on; `staging` is null when there is none. */
function castOnDevice(
  device: Device,
  bytes: Uint8Array,
  staging: Tensor,
  weight: Tensor,
  first: number,
): void {
  const region = staging.ptr === null ? device.region(bytes.length) : undefined;
  const from = region ? new Tensor(region.ptr, staging.shape, staging.dtype) : staging;
  device.upload(from, bytes);
  device.kernels.cast(weight.at(first), from.ptr, from.size, weight.code, from.code);
  if (region) device.free(region);
}

/** Starts every parameter as its layer declares, equal for every split of the model into stages. */
export function initializeWeights(device: Device, store: ParameterStore, seed: number): void {
  const { kernels } = device;
  for (const { spec, path, weight } of store.parameters) {
    const { init } = spec;
    if (init.kind !== "normal") {
      kernels.fill(weight.ptr, init.kind === "ones" ? 1 : 0, weight.size, weight.code);
      continue;
    }
    const stream = spec.tied ?? path;
    kernels.randomNormal(
      weight.ptr,
      weight.size,
      streamSeed(seed, stream),
      0n,
      0,
      init.std,
      weight.code,
    );
    if (init.zeroRow !== undefined) {
      const row = weight.size / spec.shape[0];
      device.zero(weight.view(init.zeroRow * row, [row]));
    }
  }
}

function checkEntry(layer: number, spec: ParameterSpec, source: ModelSource): string[] {
  if (!source.names(layer).includes(spec.name)) {
    const path = `${layer}.${spec.name}`;
    return [`Cannot load ${source.dir} as it must hold ${path}: the tensor is missing`];
  }
  const path = source.layout === "hf" ? source.hfName(layer, spec.name) : `${layer}.${spec.name}`;
  const { dtype, shape, file } = source.entry(layer, spec.name);
  if (!(dtype in STORED)) {
    return [
      `Cannot load ${path} of ${file} as it must be F32, BF16 or F16: current type is ${dtype}`,
    ];
  }
  if (shape.length === spec.shape.length && shape.every((n, i) => n === spec.shape[i])) return [];
  return [
    `Cannot load ${path} of ${file} as config.json makes it [${spec.shape.join(", ")}]: ` +
    `current shape is [${shape.join(", ")}]`,
  ];
}
