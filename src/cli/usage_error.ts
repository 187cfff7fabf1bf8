/** A command line that cannot be understood. @module */

/** Wrong usage of a command: nothing was started, the exit status is 2. */
export class UsageError extends Error {
  /** Distinguishes it from other errors in logs. */
  override name = "UsageError";
}
