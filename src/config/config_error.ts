/**
 * What the user wrote cannot be used: a configuration, a command line or an input file.
 *
 * Programs that catch it print the message and exit with {@linkcode ConfigError.exitStatus};
 * nothing was started.
 *
 * @module
 */

/** Problems that a message shows; more would not fit a screen. */
const SHOWN = 16;

/** All that is wrong with what the user gave, found before anything was started. */
export class ConfigError extends Error {
  /** The exit status of a program that stops because of it. */
  static readonly exitStatus = 2;
  /** The name of the class. */
  override readonly name = "ConfigError";
  /** One sentence each: action, requirement, current value, place. */
  readonly problems: readonly string[];

  /**
   * Makes one error of all problems.
   *
   * @param problems One sentence each, at least one
   * @param options `cause`: what was caught underneath
   */
  constructor(problems: string | readonly string[], options: ErrorOptions = {}) {
    const list = typeof problems === "string" ? [problems] : [...problems];
    super(
      list.length === 1 ? list[0] : `Cannot start as there are ${list.length} problems:\n` +
        list.slice(0, SHOWN).map((p, i) => `  ${i + 1}. ${p}`).join("\n") +
        (list.length > SHOWN ? `\n  and ${list.length - SHOWN} more` : ""),
      options,
    );
    this.problems = list;
  }
}
