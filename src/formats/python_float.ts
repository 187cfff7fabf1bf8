/** Floats as Python writes them. @module */

/**
 * `repr(value)` of a finite float: the shortest digits that read back, an exponent below 1e-4 and
 * from 1e16 on, else a point: `2.0`, `1e-05`, `1e+16`.
 */
export function pythonFloat(value: number): string {
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [mantissa, exponent] = Math.abs(value).toExponential().split("e") as [string, string];
  const digits = mantissa.replace(".", "");
  const e = Number(exponent);
  if (e < -4 || e >= 16) {
    const fraction = digits.length > 1 ? "." + digits.slice(1) : "";
    const power = `${e < 0 ? "-" : "+"}${String(Math.abs(e)).padStart(2, "0")}`;
    return `${sign}${digits[0]}${fraction}e${power}`;
  }
  if (e < 0) return `${sign}0.${"0".repeat(-e - 1)}${digits}`;
  const whole = digits.slice(0, e + 1).padEnd(e + 1, "0");
  return `${sign}${whole}.${digits.slice(e + 1) || "0"}`;
}
