/** Values of a pickle in messages. @module */

/** Longest text that is shown. */
const SHOWN = 80;

/**
 * A number or the beginning of a text as it is, of all else the kind. Lists are not entered: a few
 * bytes of a pickle make one that contains itself, or a list of two lists of two lists ...
 */
export function showPickled(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, SHOWN));
  if (value === null || typeof value !== "object") return String(value);
  return Array.isArray(value) ? "a list" : "an object";
}
