/** `llmpipe doctor --gpu-selftest`: the table. @module */
import { chooseBackend, type DeviceChoice } from "../tensor/choose_backend.ts";
import { deviceNames, type KernelResult, runSelftest } from "../tensor/selftest/selftest.ts";
import type { Peak, Speed } from "../tensor/selftest/time_case.ts";

/** error: the largest, as a share of what rounding allows. */
const HEADER = row("kernel", "checked", "error", "time", "speed", "of peak", "sizes");

/**
 * Checks every kernel on every device of this machine and prints how fast it is.
 *
 * @returns 1 when a kernel's numbers are wrong or a device fails
 * @throws {ConfigError} If there is no device to test
 */
export function selftest(choice: DeviceChoice): number {
  const { backend } = chooseBackend(choice);
  const faults: string[] = [];
  for (const [index, name] of deviceNames(backend).entries()) {
    const title = `Device ${index} (${name})`;
    console.log(`${index ? "\n" : ""}${title}: every kernel against the CPU backend`);
    runSelftest({ backend, index }, {
      peak: (type, peak, square) => {
        const product = `product of ${square}^3 ${rate(peak.product, "FLOP/s")}`;
        const copy = `copy ${rate(peak.copy, "B/s")}`;
        console.log(`\n${type}, beside its measured peaks: ${product}, ${copy}\n${HEADER}`);
      },
      kernel: (result, peak) => {
        console.log(linesOf(result, peak).join("\n"));
        faults.push(...result.faults.map((text) => `${title}: ${text}`));
      },
    });
  }
  console.log(
    faults.length === 0
      ? "\nAll kernels give the right numbers"
      : `\nWrong, in ${faults.length} cases:\n${faults.map((text) => `  ${text}`).join("\n")}`,
  );
  return faults.length === 0 ? 0 : 1;
}

/** One line per size that was timed. */
function linesOf(
  { op, checks, error, faults, speeds }: KernelResult,
  peak: Peak,
): string[] {
  const state = faults.length ? `${faults.length} WRONG` : `${checks} ok`;
  if (speeds.length === 0) return [row(op, state, error.toFixed(2), "", "", "", "")];
  return speeds.map(({ sizes, speed }, i) => {
    const first = i === 0 ? [op, state, error.toFixed(2)] : ["", "", ""];
    const time = `${(speed.seconds * 1e3).toPrecision(3)} ms`;
    return row(...first, time, rate(speed.perSecond, speed.unit), share(speed, peak), sizes);
  });
}

function share({ perSecond, unit }: Speed, { product, copy }: Peak): string {
  return `${(100 * perSecond / (unit === "B/s" ? copy : product)).toFixed(0)} %`;
}

/** Three digits of TFLOP/s or GB/s. */
function rate(perSecond: number, unit: Speed["unit"]): string {
  const [scale, name] = unit === "B/s" ? [1e9, "GB/s"] : [1e12, "TFLOP/s"];
  const value = perSecond / scale;
  return `${value >= 100 ? Math.round(value) : value.toPrecision(3)} ${name}`;
}

function row(...cells: string[]): string {
  const [op, state, error, time, speed, share, sizes] = cells;
  return `  ${op.padEnd(20)} ${state.padStart(8)} ${error.padStart(6)} ${time.padStart(12)} ` +
    `${speed.padStart(14)} ${share.padStart(8)}  ${sizes}`.trimEnd();
}
