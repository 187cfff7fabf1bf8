/** Checks every op of a device against the CPU backend, and times it. @module */
import { type Context, describeBackend, openContext } from "../../../ffi/context.ts";
import type { Kernels } from "../../../ffi/kernels.ts";
import type { Backend } from "../../../ffi/library.ts";
import type { FloatType } from "../dtype.ts";
import { checkCase, type CheckedDevice } from "./check_case.ts";
import { elementCases, optimizerCases, quantizeCases } from "./element_cases.ts";
import type { KernelCase } from "./kernel_case.ts";
import { attentionCases, expertCases, gemmCases } from "./product_cases.ts";
import { layerCases, normCases, vocabularyCases } from "./row_cases.ts";
import { AWKWARD, LARGE, type Sizes, TINY } from "./sizes.ts";
import { measurePeak, type Patience, type Peak, type Speed, timeCase } from "./time_case.ts";

/** Storage types, the one that models are trained in first. */
const TYPES: readonly FloatType[] = ["bf16", "f16", "f32"];

/** What is measured with: a real device, or an emulated one whose times mean nothing. */
const EFFORT = {
  real: { sizes: LARGE, square: 8192, patience: { seconds: 0.1, mostCalls: 200 } },
  emulated: { sizes: TINY, square: 32, patience: { seconds: 0, mostCalls: 1 } },
} satisfies Record<string, { sizes: Sizes; square: number; patience: Patience }>;

/** What was found about one op in one type. */
export interface KernelResult {
  /** The op. */
  op: keyof Kernels;
  /** Storage type. */
  type: FloatType;
  /** At how many sizes it was checked. */
  checks: number;
  /** The largest error as a share of the one that rounding allows. */
  error: number;
  /** One sentence for each size at which it is wrong or fails. */
  faults: string[];
  /** Sizes at which it was timed, and the speed; none when it fails. */
  speeds: { sizes: string; speed: Speed }[];
}

/** What a self-test tells as it goes. */
export interface SelftestReport {
  /** A type begins: what the device does at most. */
  peak(type: FloatType, peak: Peak, square: number): void;
  /** One op is done. */
  kernel(result: KernelResult, peak: Peak): void;
}

/** Every op at these sizes. */
export function kernelCases(sizes: Sizes): KernelCase[] {
  return [
    ...gemmCases(sizes),
    ...attentionCases(sizes),
    ...expertCases(sizes),
    ...normCases(sizes),
    ...layerCases(sizes),
    ...vocabularyCases(sizes),
    ...optimizerCases(sizes),
    ...elementCases(sizes),
    ...quantizeCases(sizes),
  ];
}

/** The devices of a backend by name, in the order of their numbers. */
export function deviceNames(backend: Backend): string[] {
  return describeBackend(backend).devices.map(({ name }) => name);
}

/**
 * Checks and times every op of a device.
 *
 * @param options.index Number of the device
 * @throws {NativeError} If the device cannot be opened
 */
export function runSelftest(
  { backend, index }: { backend: Backend; index: number },
  report: SelftestReport,
): void {
  using device = openContext({ backend, device: index });
  using cpu = openContext({ backend: "cpu" });
  const pair: CheckedDevice = { device, kernels: device, cpu };
  const effort = backend.startsWith("cudaemu") ? EFFORT.emulated : EFFORT.real;
  const small = AWKWARD.flatMap(kernelCases), large = kernelCases(effort.sizes);
  const ops = [...new Set(large.map(({ op }) => op))];
  const known = describeBackend(backend).devices[index]?.dtypes ?? TYPES;
  for (const type of TYPES.filter((type) => known.includes(type))) {
    const of = (cases: KernelCase[], op: keyof Kernels) =>
      cases.filter((kernelCase) =>
        kernelCase.op === op && (kernelCase.types ?? TYPES).includes(type)
      );
    const peak = measurePeak(device, effort.square, type, effort.patience);
    report.peak(type, peak, effort.square);
    for (const op of ops) {
      const checks = of(small, op);
      if (checks.length === 0) continue;
      const result = check(pair, checks, type);
      if (result.faults.length === 0) time(device, of(large, op), effort.patience, result);
      report.kernel(result, peak);
    }
  }
}

function check(pair: CheckedDevice, cases: KernelCase[], type: FloatType): KernelResult {
  const { op } = cases[0];
  const result: KernelResult = { op, type, checks: cases.length, error: 0, faults: [], speeds: [] };
  for (const kernelCase of cases) {
    const where = `${op} ${kernelCase.sizes}, ${type}`;
    try {
      const { error, worst } = checkCase(pair, kernelCase, type);
      if (!(error <= result.error)) result.error = error;
      if (!(error <= 1)) result.faults.push(`${where}: ${worst}`);
    } catch (error) {
      result.faults.push(`${where}: ${(error as Error).message}`);
      break; // a device that has failed once may fail in all that follows
    }
  }
  return result;
}

function time(
  device: Context,
  cases: KernelCase[],
  patience: Patience,
  result: KernelResult,
): void {
  for (const kernelCase of cases) {
    const { op, sizes } = kernelCase;
    try {
      result.speeds.push({ sizes, speed: timeCase(device, kernelCase, result.type, patience) });
    } catch (error) {
      result.faults.push(`${op} ${sizes}, ${result.type}: ${(error as Error).message}`);
    }
  }
}
