/** A group of ranks that can talk to each other. @module */
import type { Pointer } from "./kernels.ts";
import type { Library } from "./library.ts";

/** A send or receive under way; ended by exactly one wait. */
export type Request = Deno.PointerObject;

/** Codes of reductions. */
export const REDUCTIONS: Readonly<Record<"sum" | "max", number>> = { sum: 0, max: 1 };

/**
 * A communicator: create (Context.createComm), exchange addresses, connect.
 *
 * Calls block until they are done. All but the transfers are collective: every rank calls them with
 * the same sizes. A failed one leaves the communicator unusable.
 */
export class Comm implements Disposable {
  readonly #library: Library;
  readonly #unwrap: (status: number) => void;
  readonly #out = new BigUint64Array(1);
  #comm: Deno.PointerObject | null;

  /** Owns `comm`, made by lp_comm_create. */
  constructor(library: Library, comm: Deno.PointerObject, unwrap: (status: number) => void) {
    this.#library = library;
    this.#comm = comm;
    this.#unwrap = unwrap;
  }

  get #lp(): Library["symbols"] {
    return this.#library.symbols;
  }

  /** What the other ranks must know to connect to this one. */
  address(): Uint8Array<ArrayBuffer> {
    const blob = new Uint8Array(65536);
    this.#unwrap(this.#lp.lp_comm_address(this.#comm, blob, BigInt(blob.length), this.#out));
    return blob.slice(0, Number(this.#out[0]));
  }

  /** Connects to all ranks, given their addresses in rank order. */
  connect(addresses: readonly Uint8Array[]): void {
    const blobs = new Uint8Array(addresses.reduce((sum, { length }) => sum + 8 + length, 0));
    const view = new DataView(blobs.buffer);
    let at = 0;
    for (const address of addresses) {
      view.setBigUint64(at, BigInt(address.length), true);
      blobs.set(address, at + 8);
      at += 8 + address.length;
    }
    this.#unwrap(this.#lp.lp_comm_connect(this.#comm, blobs, BigInt(blobs.length)));
  }

  /** Starts a send of `bytes`, which must stay as they are until the wait. */
  isend(x: Pointer, bytes: number, peer: number, tag: number): Request {
    this.#unwrap(this.#lp.lp_isend(this.#comm, x, BigInt(bytes), peer, tag, this.#out));
    return Deno.UnsafePointer.create(this.#out[0])!;
  }

  /** Starts a receive of exactly the `bytes` that the peer sends. */
  irecv(x: Pointer, bytes: number, peer: number, tag: number): Request {
    this.#unwrap(this.#lp.lp_irecv(this.#comm, x, BigInt(bytes), peer, tag, this.#out));
    return Deno.UnsafePointer.create(this.#out[0])!;
  }

  /** Waits for a transfer and ends its request. @throws {NativeError} ETIMEOUT, ELOST */
  wait(request: Request): void {
    this.#unwrap(this.#lp.lp_wait(this.#comm, request));
  }

  /** As wait(), while this thread goes on; no other call on this communicator until it is done. */
  async waitAsync(request: Request): Promise<void> {
    this.#unwrap(await this.#lp.lp_wait_async(this.#comm, request));
  }

  /** Transfers until groupEnd() are started together, in no order. */
  groupBegin(): void {
    this.#unwrap(this.#lp.lp_group_begin(this.#comm));
  }

  /** Starts the transfers since groupBegin(). */
  groupEnd(): void {
    this.#unwrap(this.#lp.lp_group_end(this.#comm));
  }

  /** x [n] becomes the reduction (of REDUCTIONS) over all ranks. */
  allReduce(x: Pointer, n: number, op: number, dtype: number): void {
    this.#unwrap(this.#lp.lp_all_reduce(this.#comm, x, BigInt(n), op, dtype));
  }

  /** y [n] = part `rank` of the reduction of x [size * n], which may be destroyed. */
  reduceScatter(x: Pointer, y: Pointer, n: number, op: number, dtype: number): void {
    this.#unwrap(this.#lp.lp_reduce_scatter(this.#comm, x, y, BigInt(n), op, dtype));
  }

  /** y = the x of all ranks in rank order, `bytes` each. */
  allGather(x: Pointer, y: Pointer, bytes: number): void {
    this.#unwrap(this.#lp.lp_all_gather(this.#comm, x, y, BigInt(bytes)));
  }

  /** x = the x of rank `root`. */
  broadcast(x: Pointer, bytes: number, root: number): void {
    this.#unwrap(this.#lp.lp_broadcast(this.#comm, x, BigInt(bytes), root));
  }

  /** Part i of x goes to rank i, part i of y comes from rank i; `bytes` each. */
  allToAll(x: Pointer, y: Pointer, bytes: number): void {
    this.#unwrap(this.#lp.lp_all_to_all(this.#comm, x, y, BigInt(bytes)));
  }

  /** Returns after every rank has called it. */
  barrier(): void {
    this.#unwrap(this.#lp.lp_barrier(this.#comm));
  }

  /** Ends every wait under way with ELOST. */
  abort(): void {
    this.#unwrap(this.#lp.lp_comm_abort(this.#comm));
  }

  /** Orderly end: peers see this rank leave, not die. */
  [Symbol.dispose](): void {
    if (this.#comm) this.#lp.lp_comm_destroy(this.#comm);
    this.#comm = null;
  }
}
