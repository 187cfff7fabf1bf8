/** How activations and their gradients travel between neighbouring stages. @module */
import type { Communicator } from "../comm/communicator.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Transfer } from "./engine.ts";

/** Tags keep the two directions of a pair apart; micro-batches of one direction arrive in order. */
const TAG = { forward: 1, backward: 2 } as const;

/** The neighbours of a stage in its replica of the pipeline, by their ranks in the communicator. */
export interface Neighbours {
  /** Rank of the stage before; undefined on the first. */
  previous: number | undefined;
  /** Rank of the stage after; undefined on the last. */
  next: number | undefined;
}

/** Sends and receives tensors of fixed shape between neighbours. */
export class Transport {
  readonly #world: Communicator;
  readonly #neighbours: Neighbours;

  /** Transfers over `world`. */
  constructor(world: Communicator, neighbours: Neighbours) {
    this.#world = world;
    this.#neighbours = neighbours;
  }

  /** Starts sending; the tensor must stay as it is until the transfer is waited for. */
  send(tensor: Tensor, to: "previous" | "next"): Transfer {
    const tag = to === "next" ? TAG.forward : TAG.backward;
    const request = this.#world.isend(tensor.ptr, tensor.bytes, this.#peer(to), tag);
    return { wait: () => this.#world.wait(request) };
  }

  /** Fills the tensor with what the neighbour sends next. */
  receive(tensor: Tensor, from: "previous" | "next"): void {
    const tag = from === "previous" ? TAG.forward : TAG.backward;
    this.#world.wait(this.#world.irecv(tensor.ptr, tensor.bytes, this.#peer(from), tag));
  }

  #peer(side: "previous" | "next"): number {
    const rank = this.#neighbours[side];
    if (rank === undefined) throw new TypeError(`Cannot reach the ${side} stage: there is none`);
    return rank;
  }
}
