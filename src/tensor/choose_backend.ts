/** Which backend does the work. @module */
import { existsSync } from "node:fs";
import { type BackendDescription, describeBackend } from "../../ffi/context.ts";
import { type Backend, libraryPaths } from "../../ffi/library.ts";
import { ConfigError } from "../config/config_error.ts";
import type { F32Products } from "./device.ts";
import type { FloatType } from "./dtype.ts";

export type { Backend };

const FLOAT_TYPES: readonly FloatType[] = ["f32", "bf16", "f16"];

/** What a user asks for; "cudaemu" is the CUDA backend on the emulation that tests build. */
export type DeviceChoice = "auto" | "cpu" | "cuda" | "cudaemu";

/** A backend that can do the work, and the memory of one of its devices. */
export interface ChosenBackend {
  /** Which library. */
  backend: Backend;
  /** Bytes of the smallest device; undefined where ranks share the memory of the machine. */
  deviceBytes?: number;
  /** Storage types that the devices do not all compute in, and the device that lacks them. */
  lacking?: { types: readonly FloatType[]; device: string };
}

/**
 * The backend for so many ranks on this machine: on CUDA each has a device of its own.
 *
 * @param choice auto: CUDA if it works here, else the CPU
 * @param ranks Processes on this machine
 * @throws {ConfigError} If what was asked for cannot be had: what was looked for, and where
 */
export function chooseBackend(choice: DeviceChoice, ranks = 1): ChosenBackend {
  if (choice === "cpu") return { backend: "cpu" };
  const backend = choice === "auto" ? "cuda" : choice;
  const found = inspect(backend, ranks);
  if (typeof found !== "string") return { backend, ...found };
  if (choice === "auto") return { backend: "cpu" };
  throw new ConfigError(`Cannot use device: ${choice} as ${found}`);
}

/**
 * Refuses a storage type that a device does not compute in.
 *
 * @throws {ConfigError} With the device, and what to take instead
 */
export function requireType({ lacking }: ChosenBackend, type: FloatType): void {
  if (!lacking?.types.includes(type)) return;
  throw new ConfigError(
    `Cannot compute in ${type} as the device ${lacking.device} does not: take fp16 or f32 in its ` +
      `place, or the device cpu`,
  );
}

/**
 * Refuses an arithmetic of f32 products that a device does not have.
 *
 * @throws {ConfigError} With the device, and what to take instead
 */
export function requireProducts({ backend }: ChosenBackend, products: F32Products): void {
  if (products === "exact") return;
  const poor = describeBackend(backend).devices.find((device) =>
    !device.products.includes(products)
  );
  if (poor === undefined) return;
  throw new ConfigError(
    `Cannot use f32_products: ${products} as the device ${poor.name} has none: take exact in its ` +
      `place, or GPUs of compute capability 8.0 or newer`,
  );
}

/** What the devices have, or why there are not enough that work. */
function inspect(
  backend: Backend,
  ranks: number,
): Omit<ChosenBackend, "backend"> | string {
  const paths = libraryPaths(backend);
  if (!paths.some((path) => existsSync(path))) {
    return `this program has no CUDA backend: ${paths.join(" and ")} ${
      paths.length === 1 ? "was" : "were"
    } looked for`;
  }
  let description: BackendDescription;
  try {
    description = describeBackend(backend);
  } catch (error) {
    return (error as Error).message;
  }
  const { devices, libraries, reason = "no device was found" } = description;
  const needed = ["cublaslt", ...(ranks > 1 ? ["nccl"] : [])];
  if (devices.length === 0 || needed.some((name) => !(name in libraries))) return reason;
  if (devices.length < ranks) {
    return `${ranks} ranks need a device each: this machine has ${devices.length}`;
  }
  const poor = devices.find(({ dtypes }) => FLOAT_TYPES.some((type) => !dtypes.includes(type)));
  return {
    deviceBytes: Math.min(...devices.map(({ memory_bytes }) => memory_bytes)),
    ...(poor && {
      lacking: {
        types: FLOAT_TYPES.filter((type) => !poor.dtypes.includes(type)),
        device: poor.name,
      },
    }),
  };
}
