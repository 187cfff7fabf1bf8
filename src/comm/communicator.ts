/** A group of ranks that exchange tensors. @module */
import { type Comm, REDUCTIONS, type Request } from "../../ffi/comm.ts";
import type { Context } from "../../ffi/context.ts";
import { NativeError } from "../../ffi/native_error.ts";
import type { RendezvousClient } from "./rendezvous_client.ts";

/** How the values of all ranks become one. */
export type Reduction = keyof typeof REDUCTIONS;

/** Device memory that is sent, received or reduced; a Tensor is one. */
export interface Block {
  /** Address of the first element. */
  readonly ptr: Deno.PointerValue;
  /** Elements. */
  readonly size: number;
  /** Bytes. */
  readonly bytes: number;
  /** `lp_dtype` of the elements. */
  readonly code: number;
}

/** A send or receive under way. */
export interface Transfer {
  /** Returns when it is done: what was sent may be overwritten, what was received may be read. */
  wait(): void;
}

/** How a communicator is made. */
export interface CommunicatorOptions {
  /** The device whose memory is exchanged. */
  context: Context;
  /** Where the members find each other. */
  rendezvous: RendezvousClient;
  /** For messages, and to tell groups apart at the rendezvous. */
  name: string;
  /** Ranks of the run in the order of their numbers in the group; this one is among them. */
  members: readonly number[];
  /** For the connection and every wait (default 10 minutes). */
  timeoutMs?: number;
  /** Local address to listen on (default: that of the interface which reaches the supervisor). */
  host?: string;
}

/** `lp_dtype` of f64. */
const F64 = 4;
/** Most numbers that reduceNumbers() takes. */
const MOST_NUMBERS = 64;

/**
 * A group of ranks. Peers and roots are numbers within the group. All but the transfers is
 * collective: every member calls it, in the same order and with the same sizes. A call that fails
 * leaves the group unusable.
 */
export class Communicator implements Disposable {
  /** Name of the group. */
  readonly name: string;
  /** Ranks of the run, by number in the group. */
  readonly members: readonly number[];
  /** Number of this rank in the group. */
  readonly rank: number;
  readonly #context: Context;
  readonly #comm: Comm;
  readonly #numbers: Deno.PointerObject;

  private constructor(
    name: string,
    members: readonly number[],
    rank: number,
    context: Context,
    comm: Comm,
  ) {
    this.name = name;
    this.members = members;
    this.rank = rank;
    this.#context = context;
    this.#comm = comm;
    this.#numbers = context.alloc(MOST_NUMBERS * Float64Array.BYTES_PER_ELEMENT);
  }

  /**
   * Makes a group; all members call it, and no other group of the same name and members is made.
   *
   * @throws {RangeError} If this rank is no member
   * @throws {NativeError} ETIMEOUT, ELOST: a member does not answer or is gone
   */
  static async connect(options: CommunicatorOptions): Promise<Communicator> {
    const { context, rendezvous, name, members, timeoutMs = 600_000 } = options;
    const { host = rendezvous.localHost } = options;
    const own = rendezvous.placement.rank;
    const rank = members.indexOf(own);
    if (rank < 0) {
      throw new RangeError(
        `Cannot join group "${name}" of ranks [${members}]: this is rank ${own}`,
      );
    }
    const comm = context.createComm({ rank, size: members.length, host, timeoutMs });
    try {
      if (members.length > 1) {
        comm.connect(await rendezvous.exchange(`${name} ${members}`, comm.address(), members));
      }
      return new Communicator(name, members, rank, context, comm);
    } catch (error) {
      comm[Symbol.dispose]();
      throw explain(error, name, members);
    }
  }

  /** How many ranks are in the group. */
  get size(): number {
    return this.members.length;
  }

  /** Starts to send a block, which must stay as it is until the wait. */
  isend(x: Block, peer: number, tag: number): Transfer {
    return this.#transfer(() => this.#comm.isend(x.ptr, x.bytes, peer, tag));
  }

  /** Starts to fill a block with exactly as many bytes as the peer sends. */
  irecv(x: Block, peer: number, tag: number): Transfer {
    return this.#transfer(() => this.#comm.irecv(x.ptr, x.bytes, peer, tag));
  }

  /** Sends a block. Two ranks that both send first wait forever: use isend and irecv there. */
  send(x: Block, peer: number, tag: number): void {
    this.isend(x, peer, tag).wait();
  }

  /** Fills a block with what the peer sends. */
  recv(x: Block, peer: number, tag: number): void {
    this.irecv(x, peer, tag).wait();
  }

  /** x becomes the reduction over all ranks. f32, f64, bf16 or f16, summed in rank order. */
  allReduce(x: Block, reduction: Reduction = "sum"): void {
    this.#run(() => this.#comm.allReduce(x.ptr, x.size, REDUCTIONS[reduction], x.code));
  }

  /** y [n] becomes part `rank` of the reduction of x [size * n], which may be destroyed. */
  reduceScatter(x: Block, y: Block, reduction: Reduction = "sum"): void {
    this.#expectParts("reduceScatter", x, y);
    this.#run(() => this.#comm.reduceScatter(x.ptr, y.ptr, y.size, REDUCTIONS[reduction], x.code));
  }

  /** y [size * n] becomes the x [n] of all ranks in rank order; x may be its own part of y. */
  allGather(x: Block, y: Block): void {
    this.#expectParts("allGather", y, x);
    this.#run(() => this.#comm.allGather(x.ptr, y.ptr, x.bytes));
  }

  /** x becomes that of rank `root`. */
  broadcast(x: Block, root: number): void {
    this.#run(() => this.#comm.broadcast(x.ptr, x.bytes, root));
  }

  /** Part i of x [size * n] goes to rank i, part i of y [size * n] comes from rank i. */
  allToAll(x: Block, y: Block): void {
    if (x.bytes !== y.bytes || x.bytes % this.size !== 0) {
      throw new TypeError(
        `Cannot run allToAll as x and y must have the same bytes, a multiple of ${this.size}: ` +
          `current values are ${x.bytes} and ${y.bytes}`,
      );
    }
    this.#run(() => this.#comm.allToAll(x.ptr, y.ptr, x.bytes / this.size));
  }

  /** Returns after every rank has called it. */
  barrier(): void {
    this.#run(() => this.#comm.barrier());
  }

  /**
   * Reductions of a few numbers of the host, in f64.
   *
   * @param values At most 64, the same number on all ranks
   */
  reduceNumbers(values: readonly number[], reduction: Reduction = "sum"): number[] {
    if (values.length > MOST_NUMBERS) {
      throw new RangeError(`Cannot reduce more than ${MOST_NUMBERS} numbers: got ${values.length}`);
    }
    if (this.size === 1 || values.length === 0) return [...values];
    const host = Float64Array.from(values);
    this.#run(() => {
      this.#context.upload(this.#numbers, host);
      this.#comm.allReduce(this.#numbers, host.length, REDUCTIONS[reduction], F64);
      this.#context.download(host, this.#numbers);
    });
    return [...host];
  }

  /** Returns when all that was started here and waited for is done, on the device as well. */
  synchronize(): void {
    this.#run(() => this.#context.synchronize());
  }

  /** Ends every wait under way here, and with it the group: members that wait for this rank fail. */
  abort(): void {
    this.#comm.abort();
  }

  /** Orderly end: members that wait for this rank see it leave, not die. */
  close(): void {
    this.#comm[Symbol.dispose]();
  }

  /** Orderly end. */
  [Symbol.dispose](): void {
    this.close();
  }

  #transfer(start: () => Request): Transfer {
    const request = this.#run(start);
    return { wait: () => this.#run(() => this.#comm.wait(request)) };
  }

  #run<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw explain(error, this.name, this.members);
    }
  }

  #expectParts(op: string, whole: Block, part: Block): void {
    if (whole.bytes === part.bytes * this.size && whole.code === part.code) return;
    throw new TypeError(
      `Cannot run ${op} as the whole must have ${this.size} times the ${part.bytes} bytes of a ` +
        `part, and its dtype: current value has ${whole.bytes} bytes`,
    );
  }
}

/** The native text speaks of ranks of the group; this tells which group, and whose. */
function explain(error: unknown, name: string, members: readonly number[]): unknown {
  if (!(error instanceof NativeError)) return error;
  const text = `Group "${name}" of ranks [${members.join(", ")}]: ${error.message}`;
  return new NativeError(error.status, text, { cause: error.cause });
}
