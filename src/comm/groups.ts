/** Groups of ranks along the axes of a grid. @module */
import { Communicator, type CommunicatorOptions } from "./communicator.ts";

/** Sizes of the axes of a grid by name, outermost first: `{ pipe: 4, data: 2 }`. */
export type Axes = Readonly<Record<string, number>>;

/**
 * The groups along each axis: ranks whose places differ on that axis alone, in its order.
 * Ranks are row-major: with `{ pipe: 2, data: 2 }`, rank 1 has the place (0, 1), and
 *
 *   pipe: [[0, 2], [1, 3]]      data: [[0, 1], [2, 3]]
 */
export function axisGroups<A extends Axes>(axes: A): Record<keyof A & string, number[][]> {
  const sizes = Object.values(axes);
  const world = sizes.reduce((product, size) => product * size, 1);
  const groups = Object.keys(axes).map((name, axis) => {
    const stride = sizes.slice(axis + 1).reduce((product, size) => product * size, 1);
    const isFirst = (rank: number) => Math.floor(rank / stride) % sizes[axis] === 0;
    const first = Array.from({ length: world }, (_, rank) => rank).filter(isFirst);
    const members = (rank: number) =>
      Array.from({ length: sizes[axis] }, (_, i) => rank + i * stride);
    return [name, first.map(members)];
  });
  return Object.fromEntries(groups);
}

/** Communicators by the name of their axis; `world` holds all ranks. */
export type Groups<A extends Axes> = Record<(keyof A & string) | "world", Communicator>;

/** The communicators of one rank, closed together. */
export class GroupSet<A extends Axes> implements Disposable {
  /** By name. */
  readonly groups: Groups<A>;

  private constructor(groups: Groups<A>) {
    this.groups = groups;
  }

  /**
   * Makes the communicator of all ranks, then that of each axis which this rank is in. All ranks
   * call it with the same axes; all is connected when it returns, so that no later call hides a
   * connection.
   *
   * @param axes Their product is the number of ranks
   * @throws {RangeError} If it is not
   */
  static async connect<A extends Axes>(
    axes: A,
    options: Omit<CommunicatorOptions, "name" | "members">,
  ): Promise<GroupSet<A>> {
    const { rank, worldSize } = options.rendezvous.placement;
    const product = Object.values(axes).reduce((a, b) => a * b, 1);
    if (product !== worldSize) {
      throw new RangeError(
        `Cannot make groups as the product of the axes must be ${worldSize}: ` +
          `current value is ${product} (${JSON.stringify(axes)})`,
      );
    }
    const all = Array.from({ length: worldSize }, (_, i) => i);
    const wanted: [string, readonly number[]][] = [["world", all]];
    for (const [name, groups] of Object.entries(axisGroups(axes))) {
      wanted.push([name, groups.find((members) => members.includes(rank))!]);
    }
    const made: [string, Communicator][] = [];
    try {
      for (const [name, members] of wanted) {
        made.push([name, await Communicator.connect({ ...options, name, members })]);
      }
    } catch (error) {
      for (const [, communicator] of made) communicator.close();
      throw error;
    }
    return new GroupSet(Object.fromEntries(made) as Groups<A>);
  }

  /** Ends every wait under way in any: what is left is to close. */
  abort(): void {
    for (const communicator of Object.values<Communicator>(this.groups)) communicator.abort();
  }

  /** Closes all. */
  [Symbol.dispose](): void {
    for (const communicator of Object.values<Communicator>(this.groups)) communicator.close();
  }
}
