/** How activations and their gradients travel between neighbouring stages. @module */
import type { Communicator, Transfer } from "../comm/communicator.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Tags keep the two directions of a pair apart; micro-batches of one direction arrive in order. */
const TAG = { forward: 1, backward: 2 } as const;

/** Sends and receives tensors of fixed shape between neighbours of one pipeline. */
export class Transport {
  readonly #pipe: Communicator;

  /** Transfers among the stages of one replica, which are numbered by stage. */
  constructor(pipe: Communicator) {
    this.#pipe = pipe;
  }

  /** Starts sending; the tensor must stay as it is until the transfer is waited for. */
  send(tensor: Tensor, to: "previous" | "next"): Transfer {
    const tag = to === "next" ? TAG.forward : TAG.backward;
    return this.#pipe.isend(tensor, this.#peer(to), tag);
  }

  /** Fills the tensor with what the neighbour sends next. */
  receive(tensor: Tensor, from: "previous" | "next"): void {
    const tag = from === "previous" ? TAG.forward : TAG.backward;
    this.#pipe.recv(tensor, this.#peer(from), tag);
  }

  #peer(side: "previous" | "next"): number {
    return this.#pipe.rank + (side === "next" ? 1 : -1);
  }
}
