/** Dates as Python's `strftime` writes them in the C locale. @module */

/**
 * Writes a date in local time.
 *
 * @param format Such as `%d %b %Y`
 * @throws {RangeError} If a directive is not known here
 */
export function strftime(date: Date, format: string): string {
  const pad = (n: number, width = 2, fill = "0") => String(n).padStart(width, fill);
  const day = DAYS[date.getDay()]!, month = MONTHS[date.getMonth()]!;
  const hour = date.getHours(), hour12 = hour % 12 || 12;
  const of: Record<string, () => string> = {
    a: () => day.slice(0, 3),
    A: () => day,
    b: () => month.slice(0, 3),
    B: () => month,
    d: () => pad(date.getDate()),
    e: () => pad(date.getDate(), 2, " "),
    H: () => pad(hour),
    I: () => pad(hour12),
    m: () => pad(date.getMonth() + 1),
    M: () => pad(date.getMinutes()),
    p: () => hour < 12 ? "AM" : "PM",
    S: () => pad(date.getSeconds()),
    y: () => pad(date.getFullYear() % 100),
    Y: () => String(date.getFullYear()),
    F: () => strftime(date, "%Y-%m-%d"),
    T: () => strftime(date, "%H:%M:%S"),
    "%": () => "%",
  };
  return format.replace(/%(-?)([^-]|$)/gu, (whole, bare: string, name: string) => {
    const text = of[name]?.();
    if (text === undefined) throw new RangeError(`${whole} in a date is not supported`);
    return bare ? text.replace(/^[0 ]+(?=.)/, "") : text;
  });
}

const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
const MONTHS = ("January February March April May June July August September October November " +
  "December").split(" ");
