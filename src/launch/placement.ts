/** Where a rank stands in a run, told by the supervisor in the environment. @module */

/** The place of one process in a run. */
export interface Placement {
  /** Number of the process, from 0. */
  rank: number;
  /** How many there are. */
  worldSize: number;
  /** Number among the processes of this machine. */
  localRank: number;
  /** How many are on this machine. */
  localWorldSize: number;
  /** Worker threads of CPU kernels. */
  threads: number;
  /** Where the supervisor listens, `host:port`. */
  rendezvous: string;
  /** Secret of the run. */
  token: string;
  /** Process id of the supervisor; the rank ends with it. */
  supervisorPid: number;
}

/** The environment variables that tell a process its placement. */
export function placementToEnv(placement: Placement): Record<string, string> {
  return Object.fromEntries(
    Object.entries(VARIABLES).map(([field, name]) => [
      name,
      String(placement[field as keyof Placement]),
    ]),
  );
}

/**
 * Reads the placement of this process.
 *
 * @param get Reads an environment variable
 * @throws {TypeError} If a variable is missing: the process was not started by a supervisor
 * @throws {RangeError} If a variable is not a number or a rank lies outside its world
 */
export function placementFromEnv(
  get: (name: string) => string | undefined = (name) => Deno.env.get(name),
): Placement {
  const text = (field: keyof Placement): string => {
    const value = get(VARIABLES[field]);
    if (value !== undefined) return value;
    throw new TypeError(
      `Cannot start a rank as ${VARIABLES[field]} is not set: ranks are started by llmpipe train`,
    );
  };
  const number = (field: keyof Placement, below = Infinity): number => {
    const value = Number(text(field));
    if (Number.isSafeInteger(value) && value >= 0 && value < below) return value;
    throw new RangeError(
      `Cannot start a rank as ${VARIABLES[field]} must be a whole number below ${below}: ` +
        `current value is ${JSON.stringify(text(field))}`,
    );
  };
  const worldSize = number("worldSize");
  const localWorldSize = number("localWorldSize");
  return {
    rank: number("rank", worldSize),
    worldSize,
    localRank: number("localRank", localWorldSize),
    localWorldSize,
    threads: number("threads"),
    rendezvous: text("rendezvous"),
    token: text("token"),
    supervisorPid: number("supervisorPid"),
  };
}

/** Worker threads of each of `localRanks` processes: the cores this process may use, divided. */
export function threadsPerRank(localRanks: number): number {
  // Rust's available_parallelism: respects affinity and the quota of the control group.
  return Math.max(1, Math.floor(navigator.hardwareConcurrency / localRanks));
}

const VARIABLES: Record<keyof Placement, string> = {
  rank: "RANK",
  worldSize: "WORLD_SIZE",
  localRank: "LOCAL_RANK",
  localWorldSize: "LOCAL_WORLD_SIZE",
  threads: "LLMPIPE_THREADS",
  rendezvous: "LLMPIPE_RENDEZVOUS",
  token: "LLMPIPE_TOKEN",
  supervisorPid: "LLMPIPE_SUPERVISOR_PID",
};
