/** Which rank is where in the grid of stages and replicas. @module */

/**
 * The grid with axes [pipe, data], row-major as in DeepSpeed: rank = stage * replicas + replica.
 * Neighbours on the data axis have neighbouring ranks, so that replicas of one stage share a node.
 */
export class Topology {
  /** Pipeline stages (P). */
  readonly stages: number;
  /** Data-parallel replicas of the pipeline. */
  readonly replicas: number;

  /**
   * Makes a grid.
   *
   * @param stages P >= 1
   * @param replicas >= 1
   * @throws {RangeError} If either is not a positive integer
   */
  constructor(stages: number, replicas: number) {
    for (const [name, n] of Object.entries({ stages, replicas })) {
      if (Number.isSafeInteger(n) && n >= 1) continue;
      throw new RangeError(`Cannot make a topology as ${name} must be an integer >= 1: got ${n}`);
    }
    this.stages = stages;
    this.replicas = replicas;
  }

  /** Number of ranks. */
  get worldSize(): number {
    return this.stages * this.replicas;
  }

  /** The rank at a place of the grid. */
  rank(stage: number, replica: number): number {
    expectIndex("stage", stage, this.stages);
    expectIndex("replica", replica, this.replicas);
    return stage * this.replicas + replica;
  }

  /** The stage of a rank. */
  stage(rank: number): number {
    expectIndex("rank", rank, this.worldSize);
    return Math.floor(rank / this.replicas);
  }

  /** The replica of a rank. */
  replica(rank: number): number {
    expectIndex("rank", rank, this.worldSize);
    return rank % this.replicas;
  }

  /** Ranks that hold the same stage, by replica: the group that averages gradients. */
  stageRanks(stage: number): number[] {
    return Array.from({ length: this.replicas }, (_, replica) => this.rank(stage, replica));
  }

  /** Ranks of one pipeline, by stage. */
  replicaRanks(replica: number): number[] {
    return Array.from({ length: this.stages }, (_, stage) => this.rank(stage, replica));
  }

  /** The rank that feeds this one; undefined on the first stage. */
  previous(rank: number): number | undefined {
    return this.stage(rank) === 0 ? undefined : rank - this.replicas;
  }

  /** The rank that this one feeds; undefined on the last stage. */
  next(rank: number): number | undefined {
    return this.stage(rank) === this.stages - 1 ? undefined : rank + this.replicas;
  }

  /** First and last rank of a replica, which share tied weights; one rank when there is one stage. */
  tiedRanks(replica: number): number[] {
    const ranks = [this.rank(0, replica), this.rank(this.stages - 1, replica)];
    return this.stages === 1 ? ranks.slice(0, 1) : ranks;
  }
}

function expectIndex(name: string, index: number, count: number): void {
  if (Number.isSafeInteger(index) && index >= 0 && index < count) return;
  throw new RangeError(
    `Cannot find a place in the topology as ${name} must be from 0 to ${count - 1}: got ${index}`,
  );
}
