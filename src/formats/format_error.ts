/** A file that is not what its format demands. @module */

/** A file that cannot be read as its format: damaged, cut off, harmful or of another kind. */
export class FormatError extends Error {
  /** Distinguishes it from other errors in logs. */
  override readonly name = "FormatError";
  /** The file. */
  readonly path: string;

  /**
   * The message is "Cannot read FILE as REASON".
   *
   * @param path The file
   * @param reason What is wrong with it
   * @param options `cause`: what was caught underneath
   */
  constructor(path: string, reason: string, options: ErrorOptions = {}) {
    super(`Cannot read ${path} as ${reason}`, options);
    this.path = path;
  }
}
