/** One rank as a child process. @module */
import type { RankEnd } from "./failure.ts";
import { eachLine } from "./lines.ts";

/** Lines of stderr that are kept for the report of a failure. */
const KEPT_LINES = 12;
/** How long output is read after the process has ended; another process may hold the pipe open. */
const DRAIN_MS = 500;

/** How a rank is started. */
export interface RankStart {
  /** Number of the rank. */
  rank: number;
  /** Program and arguments. */
  command: readonly string[];
  /** Added to the environment of this process. */
  env: Record<string, string>;
  /** Called with each line of output. */
  onLine: (stream: "stdout" | "stderr", line: string) => void;
}

/** A running rank, in a process group of its own, so that a terminal's ^C reaches us alone. */
export class RankProcess {
  /** Settles, always with success, when the process has ended and its output is read. */
  readonly ended: Promise<RankEnd>;
  readonly #child: Deno.ChildProcess;
  #isRunning = true;

  /**
   * Starts a rank.
   *
   * @throws {Deno.errors.NotFound} If there is no such program
   */
  constructor({ rank, command: [program, ...args], env, onLine }: RankStart) {
    this.#child = new Deno.Command(program, {
      args,
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: true,
    }).spawn();
    const lastLines: string[] = [];
    const output = Promise.all([
      eachLine(this.#child.stdout, (line) => onLine("stdout", line)),
      eachLine(this.#child.stderr, (line) => {
        lastLines.push(line);
        if (lastLines.length > KEPT_LINES) lastLines.shift();
        onLine("stderr", line);
      }),
    ]).catch(() => {}); // the pipe broke with the process
    this.ended = this.#child.status.then(async ({ code, signal }) => {
      this.#isRunning = false;
      const timer = Promise.withResolvers<void>();
      const timeout = setTimeout(timer.resolve, DRAIN_MS);
      await Promise.race([output, timer.promise]);
      clearTimeout(timeout);
      return { rank, code, signal, lastLines };
    });
  }

  /** Process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Sends a signal to the rank and what it has started; none once it has ended. */
  kill(signal: "SIGTERM" | "SIGKILL"): void {
    if (!this.#isRunning) return;
    try {
      Deno.kill(-this.#child.pid, signal);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // it has just ended
    }
  }
}
