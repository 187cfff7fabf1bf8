/** Memory that processes of this machine can still have. @module */

/**
 * Bytes that can be allocated without swapping: what the kernel estimates, and no more than the
 * memory limit of the control group leaves.
 *
 * @returns undefined where the system does not tell
 */
export function availableMemory(): number | undefined {
  const kernel = /MemAvailable:\s+(\d+) kB/.exec(readText("/proc/meminfo"))?.[1];
  if (kernel === undefined) return undefined;
  const limit = Number(readText("/sys/fs/cgroup/memory.max").trim() || NaN); // "max" is no number
  const used = Number(readText("/sys/fs/cgroup/memory.current").trim() || NaN);
  const left = limit - used;
  return Math.min(Number(kernel) * 1024, Number.isNaN(left) ? Infinity : left);
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
