/**
 * Where ranks find each other and report: a server that the supervisor owns.
 *
 * Ranks ask `exchange {key, members}` with a blob, answered by `exchanged {key}` with all blobs or
 * `failed {key, reason}`, and send `message {message}`, which is not answered. The supervisor sends
 * `stop {reason}`.
 *
 * @module
 */
import { joinBlobs } from "./blobs.ts";
import { Exchanges } from "./exchange.ts";
import { type Frame, FrameConnection, FrameError } from "./frame.ts";
import {
  admit,
  type Claim,
  HELLO_LIMIT_BYTES,
  RANK_LIMIT_BYTES,
  RefusedError,
} from "./handshake.ts";
import { parseMessage, type RankMessage } from "./messages.ts";

/** How a rendezvous is set up. */
export interface RendezvousOptions {
  /** How many ranks there are. */
  worldSize: number;
  /** Secret that every rank must hold. */
  token: string;
  /** Interface to listen on (default 127.0.0.1). */
  hostname?: string;
  /** Port to listen on (default: a free one). */
  port?: number;
  /** Time in which a connection must show the token (default 5000). */
  handshakeMs?: number;
  /** Connections that may be without proof at one time (default 64); more are closed at once. */
  maxPending?: number;
  /** A rank has joined. */
  onJoin?: (rank: number) => void;
  /** A rank says something. */
  onMessage?: (rank: number, message: RankMessage) => void;
  /** The connection of a rank has ended. */
  onLeave?: (rank: number) => void;
  /** Someone else, or a confused rank, was turned away; the run goes on. */
  onRefused?: (reason: string) => void;
}

/** The server. */
export class Rendezvous implements AsyncDisposable {
  readonly #options: RendezvousOptions;
  readonly #listener: Deno.TcpListener;
  readonly #ranks = new Map<number, FrameConnection>();
  readonly #connections = new Set<FrameConnection>();
  readonly #exchanges = new Exchanges();
  readonly #tasks = new Set<Promise<void>>();
  #pending = 0;
  #isClosed = false;

  /** Starts to listen. */
  constructor(options: RendezvousOptions) {
    this.#options = options;
    const { hostname = "127.0.0.1", port = 0 } = options;
    this.#listener = Deno.listen({ hostname, port });
    this.#run(this.#acceptAll());
  }

  /** Where ranks connect to, `host:port`. */
  get address(): string {
    const { hostname, port } = this.#listener.addr;
    return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
  }

  /** Asks every rank to end at the next opportunity. */
  stop(reason: string): void {
    for (const connection of this.#ranks.values()) {
      connection.send({ op: "stop", reason }).catch(() => {}); // a rank that is gone has stopped
    }
  }

  /** Closes the server and every connection. */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#listener.close();
      for (const connection of this.#connections) connection.close();
    }
    await Promise.all(this.#tasks);
  }

  /** Closes the server and every connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #run(task: Promise<void>): void {
    this.#tasks.add(task);
    task.finally(() => this.#tasks.delete(task));
  }

  async #acceptAll(): Promise<void> {
    const { maxPending = 64 } = this.#options;
    while (!this.#isClosed) {
      let conn: Deno.TcpConn;
      try {
        conn = await this.#listener.accept();
      } catch (error) {
        if (this.#isClosed) return;
        // Out of descriptors, or a connection that was gone before it was accepted.
        this.#refuse("a connection", error);
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      if (this.#pending >= maxPending) {
        this.#options.onRefused?.(`a connection as ${maxPending} others have shown no token yet`);
        conn.close();
      } else {
        this.#run(this.#serve(new FrameConnection(conn, HELLO_LIMIT_BYTES)));
      }
    }
  }

  async #serve(connection: FrameConnection): Promise<void> {
    this.#connections.add(connection);
    let claim: Claim | undefined;
    try {
      claim = await this.#admit(connection);
      for (let frame; (frame = await connection.receive());) {
        this.#handle(claim.rank, connection, frame);
      }
    } catch (error) {
      if (!this.#isClosed && !isDisconnect(error)) this.#refuse(connection.peer, error, claim);
    } finally {
      this.#connections.delete(connection);
      connection.close();
      for (const [rank, joined] of this.#ranks) if (joined === connection) this.#leave(rank);
    }
  }

  async #admit(connection: FrameConnection): Promise<Claim> {
    const { token, handshakeMs = 5000 } = this.#options;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      connection.close();
    }, handshakeMs);
    this.#pending++;
    try {
      const claim = await admit(connection, token, (claim) => this.#accept(claim, connection));
      connection.limitBytes = RANK_LIMIT_BYTES;
      this.#options.onJoin?.(claim.rank);
      return claim;
    } catch (error) {
      if (isLate) throw new RefusedError(`no token was shown within ${handshakeMs} ms`);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#pending--;
    }
  }

  #accept({ rank, world }: Claim, connection: FrameConnection): string | undefined {
    const { worldSize } = this.#options;
    if (world !== worldSize) return `the world must have ${worldSize} ranks: yours has ${world}`;
    if (rank < 0 || rank >= worldSize) {
      return `the rank must be in [0, ${worldSize}): found ${rank}`;
    }
    if (this.#ranks.has(rank)) return `rank ${rank} has already joined`;
    this.#ranks.set(rank, connection); // before the next await, so that nobody joins twice
    return undefined;
  }

  #leave(rank: number): void {
    this.#ranks.delete(rank);
    this.#exchanges.leave(rank);
    if (!this.#isClosed) this.#options.onLeave?.(rank);
  }

  #handle(rank: number, connection: FrameConnection, { head, body }: Frame): void {
    if (head.op === "message") {
      const message = parseMessage(head.message);
      if (!message) throw new FrameError(`Cannot read a message of rank ${rank}`);
      this.#options.onMessage?.(rank, message);
      return;
    }
    const { key, members } = head;
    if (head.op !== "exchange" || typeof key !== "string" || !isRankList(members)) {
      throw new FrameError(`Cannot do what rank ${rank} asks for: ${JSON.stringify(head.op)}`);
    }
    const answer = (result: Uint8Array<ArrayBuffer>[] | Error) => {
      const sent = result instanceof Error
        ? connection.send({ op: "failed", key, reason: result.message })
        : connection.send({ op: "exchanged", key }, joinBlobs(result));
      sent.catch(() => {}); // a rank that is gone needs no answer
    };
    this.#exchanges.add(rank, { key, members, blob: body, answer });
  }

  #refuse(who: string, error: unknown, claim?: Claim): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.onRefused?.(`${claim ? `rank ${claim.rank} at ` : ""}${who}: ${reason}`);
  }
}

function isRankList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((rank) => Number.isSafeInteger(rank));
}

/** The other end closed, was killed, or we closed. */
function isDisconnect(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.ConnectionAborted;
}
