/** All-gathers of small blobs through the supervisor. @module */

/** One rank's part in an exchange. */
export interface Contribution {
  /** Name of the exchange; the same on all members, used once. */
  key: string;
  /** Who takes part, in the order of the result. */
  members: readonly number[];
  /** What this rank gives. */
  blob: Uint8Array;
  /** Called with what all gave, or with why the exchange failed. */
  answer: (result: Uint8Array<ArrayBuffer>[] | Error) => void;
}

interface Open {
  members: readonly number[];
  parts: Map<number, Contribution>;
}

/** Collects contributions and answers all members once the last one is there. */
export class Exchanges {
  readonly #open = new Map<string, Open>();
  readonly #gone = new Set<number>();

  /** Adds the part of a rank. */
  add(rank: number, part: Contribution): void {
    const { key, members } = part;
    const open = this.#open.get(key) ?? { members, parts: new Map() };
    this.#open.set(key, open);
    open.parts.set(rank, part);
    const problem = this.#problem(rank, open, members);
    if (problem !== undefined) this.#fail(key, open, problem);
    else if (open.parts.size === open.members.length) this.#finish(key, open);
  }

  /** Fails what waits for a rank that is gone. */
  leave(rank: number): void {
    this.#gone.add(rank);
    for (const [key, open] of this.#open) {
      if (open.members.includes(rank)) this.#fail(key, open, `rank ${rank} is gone`);
    }
  }

  #problem(rank: number, open: Open, members: readonly number[]): string | undefined {
    if (`${open.members}` !== `${members}`) {
      return `its members must be the same on all ranks: [${open.members}] and, on rank ${rank}, ` +
        `[${members}]`;
    }
    if (!members.includes(rank)) return `rank ${rank} is no member of [${members}]`;
    const gone = members.find((member) => this.#gone.has(member));
    return gone === undefined ? undefined : `rank ${gone} is gone`;
  }

  #fail(key: string, open: Open, problem: string): void {
    this.#open.delete(key);
    const error = new Error(`Cannot exchange "${key}": ${problem}`);
    for (const part of open.parts.values()) part.answer(error);
  }

  #finish(key: string, open: Open): void {
    this.#open.delete(key);
    const blobs = open.members.map((member) =>
      open.parts.get(member)!.blob as Uint8Array<ArrayBuffer>
    );
    for (const part of open.parts.values()) part.answer(blobs);
  }
}
