/** A rank's side of the rendezvous. @module */
import { splitBlobs } from "../launch/blobs.ts";
import { type Frame, FrameConnection } from "../launch/frame.ts";
import { introduce, SUPERVISOR_LIMIT_BYTES } from "../launch/handshake.ts";
import type { RankMessage } from "../launch/messages.ts";
import type { Placement } from "../launch/placement.ts";

/** The supervisor asked to stop, or is gone. */
export class StoppedError extends Error {
  /** The name of the class. */
  override readonly name = "StoppedError";
}

/** One byte string per member. */
export type Blobs = Uint8Array<ArrayBuffer>[];

/** The connection of one rank to the supervisor. */
export class RendezvousClient implements Disposable {
  /** The place of this rank in the run. */
  readonly placement: Placement;
  /** What the rank is at, for reports of failures. */
  place: { stage?: number; step?: number } = {};
  readonly #connection: FrameConnection;
  readonly #open = new Map<string, PromiseWithResolvers<Blobs>>();
  readonly #stop = new AbortController();

  private constructor(connection: FrameConnection, placement: Placement) {
    this.#connection = connection;
    this.placement = placement;
    this.#receiveAll();
  }

  /**
   * Connects to the supervisor and proves to hold the token.
   *
   * @throws {RefusedError} If the supervisor refuses, or is none of this run
   */
  static async connect(placement: Placement): Promise<RendezvousClient> {
    const { hostname, port } = new URL(`tcp://${placement.rendezvous}`);
    const conn = await Deno.connect({
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port),
    });
    const connection = new FrameConnection(conn, SUPERVISOR_LIMIT_BYTES);
    try {
      const { rank, worldSize: world, token } = placement;
      await introduce(connection, token, { rank, world });
    } catch (error) {
      connection.close();
      throw error;
    }
    return new RendezvousClient(connection, placement);
  }

  /** Address of this machine on the interface that reaches the supervisor. */
  get localHost(): string {
    return this.#connection.localHost;
  }

  /** Aborted when the supervisor asks to stop or is gone; the reason is a StoppedError. */
  get stopSignal(): AbortSignal {
    return this.#stop.signal;
  }

  /**
   * Gathers the blobs of all members, each of which must call with the same key and members.
   *
   * @param key Used once in a run
   * @param members Ranks that take part, this one among them (default: all)
   * @returns One blob per member, in their order
   * @throws {Error} If a member is gone or gives other members
   */
  async exchange(key: string, blob: Uint8Array, members?: readonly number[]): Promise<Blobs> {
    if (this.#open.has(key)) throw new TypeError(`Cannot exchange "${key}" twice at a time`);
    const answer = Promise.withResolvers<Blobs>();
    this.#open.set(key, answer);
    const who = members ?? Array.from({ length: this.placement.worldSize }, (_, r) => r);
    try {
      if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
      await this.#connection.send({ op: "exchange", key, members: who }, blob);
      return await answer.promise;
    } finally {
      this.#open.delete(key);
    }
  }

  /** Tells the supervisor something; resolved once the system has taken it. */
  async say(message: RankMessage): Promise<void> {
    await this.#connection.send({ op: "message", message });
  }

  /** Closes the connection. */
  close(): void {
    this.#connection.close();
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.close();
  }

  async #receiveAll(): Promise<void> {
    let reason = "its connection was closed";
    try {
      for (let frame; (frame = await this.#connection.receive());) this.#handle(frame);
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
    if (this.#connection.isClosed) return; // by us
    this.#end(new StoppedError(`Cannot go on without the supervisor: ${reason}`));
  }

  #handle({ head, body }: Frame): void {
    if (head.op === "stop") {
      this.#end(new StoppedError(`Stopped by the supervisor: ${head.reason}`));
    } else if (head.op === "exchanged") {
      this.#open.get(String(head.key))?.resolve(splitBlobs(body));
    } else if (head.op === "failed") {
      this.#open.get(String(head.key))?.reject(new Error(String(head.reason)));
    }
  }

  #end(reason: StoppedError): void {
    for (const answer of this.#open.values()) answer.reject(reason);
    this.#stop.abort(reason);
  }
}
