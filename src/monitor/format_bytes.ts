/** Byte counts for people. @module */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A byte count with three digits or so and its unit: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes, unit = 0;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) value /= 1024, unit++;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
