/** Lines for a person, with a level. @module */

/** How much a line matters, from least to most. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
/** How much a line matters. */
export type LogLevel = typeof LOG_LEVELS[number];

/** Writes lines of at least one level, each with the time and the level. */
export class Log {
  readonly #least: number;
  readonly #print: (line: string) => void;
  readonly #now: () => Date;

  /**
   * A log.
   *
   * @param options.level Least level that is written (default info)
   * @param options.print Takes a line (default: stderr)
   * @param options.now The clock
   */
  constructor(
    { level = "info", print = console.error, now = () => new Date() }: {
      level?: LogLevel;
      print?: (line: string) => void;
      now?: () => Date;
    } = {},
  ) {
    this.#least = LOG_LEVELS.indexOf(level);
    this.#print = print;
    this.#now = now;
  }

  /** Writes a line; more lines of the text are indented below the first. */
  write(level: LogLevel, text: string): void {
    if (LOG_LEVELS.indexOf(level) < this.#least) return;
    const time = this.#now().toTimeString().slice(0, 8);
    this.#print(`${time} ${level.padEnd(5)} ${text.replaceAll("\n", `\n${" ".repeat(15)}`)}`);
  }

  /** Of use to those who look for a fault. */
  debug(text: string): void {
    this.write("debug", text);
  }

  /** What the program does. */
  info(text: string): void {
    this.write("info", text);
  }

  /** Something the user may not have meant. */
  warn(text: string): void {
    this.write("warn", text);
  }

  /** Something has failed. */
  error(text: string): void {
    this.write("error", text);
  }
}
