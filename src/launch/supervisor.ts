/** Starts ranks, watches them, and brings all down when one fails. @module */
import {
  describeCause,
  describeConsequence,
  firstCause,
  type RankEnd,
  statusOf,
} from "./failure.ts";
import { makeToken } from "./handshake.ts";
import type { ErrorMessage, RankMessage } from "./messages.ts";
import { placementToEnv, threadsPerRank } from "./placement.ts";
import { RankProcess } from "./rank_process.ts";
import { Rendezvous } from "./rendezvous.ts";

/** After the first failure: time for the others to say what they saw, before they are ended. */
const SETTLE_MS = 400;
/** How long a rank that has told its error may take to close what it holds. */
const CLOSE_MS = 2000;
/** After SIGTERM: time until SIGKILL. */
const TERM_MS = 1000;
/** How long the words of a rank that has ended may be under way. */
const LAST_WORDS_MS = 2000;
/** Refused connections that are printed; a scanner must not fill the log. */
const PRINTED_REFUSALS = 10;

/** What is run, and where its words go. */
export interface RunOptions {
  /** How many ranks. */
  worldSize: number;
  /** Program and arguments of a rank. */
  command: (rank: number) => readonly string[];
  /** Added to the environment of a rank. */
  env?: (rank: number) => Record<string, string>;
  /** Worker threads of each rank (default: usable cores divided by ranks). */
  threads?: number;
  /** Interface the ranks connect to (default 127.0.0.1). */
  hostname?: string;
  /** A rank says something; its errors are reported by the supervisor. */
  onMessage?: (rank: number, message: RankMessage) => void;
  /** A line of output of a rank (default: to the same stream, behind `[rank N]` if there are more). */
  onLine?: (rank: number, stream: "stdout" | "stderr", line: string) => void;
  /** The words of the supervisor (default: stderr). */
  print?: (text: string) => void;
  /** How long ranks have to end by themselves when the run is interrupted (default 3000). */
  graceMs?: number;
}

/**
 * Runs `worldSize` processes to their end, as one: when one fails, all end within seconds, and the
 * first cause is printed last. SIGINT, SIGTERM and SIGHUP ask the ranks to stop, and end them after
 * `graceMs`; a second one ends them at once. No process is left behind, even if this one is killed,
 * provided that the ranks bind themselves to it (see `joinRun` in src/comm).
 *
 * @returns Exit status: 0, 1 when a rank failed, 2 when what the user configured is wrong, 128 + the
 * number of the signal when interrupted
 * @throws What `onMessage` threw, once all ranks have ended
 */
export async function runRanks(options: RunOptions): Promise<number> {
  await using run = new Run(options);
  return await run.finish();
}

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
type StopSignal = keyof typeof SIGNALS;

class Run implements AsyncDisposable {
  readonly #options: RunOptions;
  readonly #print: (text: string) => void;
  readonly #rendezvous: Rendezvous;
  readonly #ranks: RankProcess[] = [];
  readonly #connected = new Map<number, PromiseWithResolvers<void>>();
  readonly #errors = new Map<number, ErrorMessage>();
  readonly #failures: RankEnd[] = [];
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #listeners: [StopSignal, () => void][] = [];
  #interruptedBy: StopSignal | undefined;
  #ownFault: { error: unknown } | undefined; // of the one who was told
  #isEnding = false;
  #refusals = 0;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#print = options.print ?? ((text) => console.error(text));
    const { worldSize, hostname } = options;
    const token = makeToken();
    this.#rendezvous = new Rendezvous({
      worldSize,
      token,
      ...(hostname === undefined ? {} : { hostname }),
      onJoin: (rank) => this.#connected.set(rank, Promise.withResolvers()),
      onMessage: (rank, message) => this.#hear(rank, message),
      onLeave: (rank) => this.#connected.get(rank)?.resolve(),
      onRefused: (reason) => this.#reportRefusal(reason),
    });
    for (const signal of Object.keys(SIGNALS) as StopSignal[]) {
      const listener = () => this.#interrupt(signal);
      Deno.addSignalListener(signal, listener);
      this.#listeners.push([signal, listener]);
    }
    for (let rank = 0; rank < worldSize && this.#failures.length === 0; rank++) {
      this.#start(rank, token);
    }
  }

  /** Waits until all have ended. */
  async finish(): Promise<number> {
    await Promise.all(this.#ranks.map(async (rank) => await this.#see(await rank.ended)));
    if (this.#ownFault) throw this.#ownFault.error;
    if (this.#failures.length === 0) {
      if (!this.#interruptedBy) return 0;
      this.#print(`llmpipe: Stopped by ${this.#interruptedBy}`);
      return 128 + SIGNALS[this.#interruptedBy];
    }
    const cause = firstCause(this.#failures);
    for (const end of this.#failures) if (end !== cause) this.#print(describeConsequence(end));
    this.#print(`llmpipe: ${describeCause(cause)}`);
    return statusOf(cause);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const [signal, listener] of this.#listeners) Deno.removeSignalListener(signal, listener);
    this.#killAll("SIGKILL");
    await Promise.all(this.#ranks.map((rank) => rank.ended));
    await this.#rendezvous.close();
  }

  #start(rank: number, token: string): void {
    const { worldSize, command, env, threads = threadsPerRank(worldSize) } = this.#options;
    const placement = placementToEnv({
      rank,
      worldSize,
      localRank: rank,
      localWorldSize: worldSize,
      threads,
      rendezvous: this.#rendezvous.address,
      token,
      supervisorPid: Deno.pid,
    });
    try {
      this.#ranks.push(
        new RankProcess({
          rank,
          command: command(rank),
          env: { OMP_NUM_THREADS: `${threads}`, ...env?.(rank), ...placement },
          onLine: (stream, line) => this.#pass(rank, stream, line),
        }),
      );
    } catch (error) {
      const message = `it cannot be started: ${error instanceof Error ? error.message : error}`;
      this.#fail({ rank, error: { type: "error", kind: "failed", message } });
    }
  }

  #pass(rank: number, stream: "stdout" | "stderr", line: string): void {
    const { onLine, worldSize } = this.#options;
    if (onLine) return onLine(rank, stream, line);
    const text = worldSize > 1 ? `[rank ${rank}] ${line}` : line;
    (stream === "stdout" ? console.log : console.error)(text);
  }

  #hear(rank: number, message: RankMessage): void {
    // The first error of a rank is its cause; it will end, which is what counts.
    if (message.type === "error" && !this.#errors.has(rank)) {
      this.#errors.set(rank, message);
      this.#after(CLOSE_MS, () => this.#ranks[rank].kill("SIGKILL"));
    }
    try {
      this.#options.onMessage?.(rank, message);
    } catch (error) {
      if (this.#ownFault) return;
      this.#ownFault = { error };
      this.#rendezvous.stop("what it says cannot be kept");
      this.#after(SETTLE_MS, () => this.#endAll());
    }
  }

  async #see(end: RankEnd): Promise<void> {
    if (end.code === 0) return;
    const isOurs = this.#isEnding && (end.signal === "SIGTERM" || end.signal === "SIGKILL");
    const lastWords = this.#connected.get(end.rank)?.promise;
    if (lastWords) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#after(LAST_WORDS_MS, resolve);
      await Promise.race([lastWords, promise]);
    }
    const error = this.#errors.get(end.rank);
    if (!isOurs || error) this.#fail({ ...end, error });
  }

  #fail(end: RankEnd): void {
    if (this.#interruptedBy || this.#ownFault) return; // it ends because it was asked to
    this.#failures.push(end);
    if (this.#failures.length > 1) return;
    this.#rendezvous.stop(`rank ${end.rank} failed`);
    this.#after(SETTLE_MS, () => this.#endAll());
  }

  #interrupt(signal: StopSignal): void {
    if (this.#interruptedBy || this.#failures.length > 0) return this.#killAll("SIGKILL");
    const { graceMs = 3000 } = this.#options;
    this.#interruptedBy = signal;
    this.#print(`llmpipe: ${signal}: stopping (once more to end at once)`);
    this.#rendezvous.stop(signal);
    this.#after(graceMs, () => this.#endAll());
  }

  #endAll(): void {
    this.#killAll("SIGTERM");
    this.#after(TERM_MS, () => this.#killAll("SIGKILL"));
  }

  #killAll(signal: "SIGTERM" | "SIGKILL"): void {
    this.#isEnding = true;
    for (const rank of this.#ranks) rank.kill(signal);
  }

  #after(ms: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  #reportRefusal(reason: string): void {
    this.#refusals++;
    if (this.#refusals > PRINTED_REFUSALS) return;
    const last = this.#refusals === PRINTED_REFUSALS ? "; further ones are not shown" : "";
    this.#print(`llmpipe: refused ${reason}${last}`);
  }
}
