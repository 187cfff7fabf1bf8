/** The training loop of one rank: forward and backward by schedule, reduce, clip, update, report. @module */
import type { Communicator } from "../comm/communicator.ts";
import { clipFactor, GradientNorm } from "../optim/grad_norm.ts";
import type { LossScale } from "../optim/loss_scale.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Stage } from "../pipeline/engine.ts";
import type { Instruction } from "../pipeline/schedule.ts";
import type { Transport } from "../pipeline/transport.ts";
import type { Device } from "../tensor/device.ts";
import type { Parameter } from "../tensor/parameter.ts";
import {
  balanceShare,
  type LossPolicy,
  lossShare,
  makeStepInputs,
  type PlacedBatch,
} from "./step_inputs.ts";

/** The ranks that one rank works with. */
export interface Groups {
  /** All ranks. */
  world: Communicator;
  /** The ranks of the same stage in all replicas. */
  data: Communicator;
  /** First and last stage of this replica, when they share a tied parameter. */
  tied?: Communicator | undefined;
}

/** Everything the loop works with. */
export interface TrainerParts {
  /** The device of the rank. */
  device: Device;
  /** Its stage. */
  stage: Stage;
  /** Its schedule. */
  instructions: readonly Instruction[];
  /** Its neighbours. */
  transport: Transport;
  /** Its groups. */
  groups: Groups;
  /** Its optimizer. */
  optimizer: Optimizer;
  /** Learning rate of an update, counted from 1. */
  learningRate(update: number): number;
  /** Dynamic or static scale of fp16 gradients; undefined for other types. */
  lossScale: LossScale | undefined;
  /** Largest global gradient norm, 0 for none. */
  gradientClipping: number;
  /** How losses are averaged. */
  loss: LossPolicy;
  /** The micro-batches of a step for this replica, [M]. */
  batches(step: number): PlacedBatch[];
}

/** What one step did; equal on every rank. */
export interface StepResult {
  /** Mean loss, with z-loss and load-balancing loss. */
  loss: number;
  /** The z-losses in it, weighted: the configured one, and that of the model. */
  zLoss: number;
  /** The load-balancing loss of experts before its weight; 0 without experts. */
  auxLoss: number;
  /** Global norm of the averaged gradient before clipping. */
  gradNorm: number;
  /** Learning rate of the update. */
  lr: number;
  /** Scale of the gradients, 1 unless fp16. */
  lossScale: number;
  /** Tokens that are not padding, over all replicas. */
  tokens: number;
  /** True when gradients overflowed, so the weights stayed as they were. */
  skipped: boolean;
}

/** Trains one stage, one step at a time. */
export class Trainer {
  readonly #parts: TrainerParts;
  readonly #norm: GradientNorm;
  readonly #tied: readonly Parameter[];

  /** A trainer before its first step. */
  constructor(parts: TrainerParts) {
    this.#parts = parts;
    const { device, stage, groups } = parts;
    this.#tied = groups.tied ? stage.store.parameters.filter((p) => p.spec.tied !== undefined) : [];
    // Replicas hold equal gradients, and so do the two copies of a tied parameter: each counts once.
    const counts = (p: Parameter) =>
      groups.data.rank === 0 && (stage.layers.isFirst || !this.#tied.includes(p));
    this.#norm = new GradientNorm(device, stage.store, counts);
  }

  /**
   * Runs one step, from 0.
   *
   * @throws {RangeError} When the loss or a gradient is not finite and cannot be scaled down
   */
  step(step: number): StepResult {
    const { stage, instructions, transport, groups, loss, lossScale } = this.#parts;
    const scale = lossScale?.scale ?? 1;
    const prepared = makeStepInputs(this.#parts.batches(step), loss, {
      replicas: groups.data.size,
      lossScale: scale,
      sumOverReplicas: (values) => groups.data.reduceNumbers(values),
    });
    let result: Omit<StepResult, "tokens"> | undefined;
    stage.run(instructions, {
      load: (micro) => prepared.inputs[micro],
      send: (tensor, to) => transport.send(tensor, to),
      receive: (tensor, from) => transport.receive(tensor, from),
      reduceGrads: () => this.#reduceGradients(),
      step: () => {
        const rows = stage.layers.losses();
        const share = rows ? lossShare(prepared, rows, scale) : { ce: 0, z: 0 };
        const sums = stage.layers.balanceSums();
        const own = sums ? balanceShare(prepared, sums, stage.spec.model) : 0;
        const squares = this.#norm.sumOfSquares();
        const [ce, z, auxLoss, squaresOfAll] = groups.world.reduceNumbers(
          [share.ce, share.z, own, squares],
        );
        const mean = ce + z + loss.balanceWeight * auxLoss;
        const gradNorm = Math.sqrt(squaresOfAll) / scale;
        const updated = this.#update(step, { loss: mean, gradNorm, scale });
        result = { loss: mean, zLoss: z, auxLoss, gradNorm, lossScale: scale, ...updated };
      },
    });
    if (!result) throw new TypeError("Cannot end a step as its schedule has no step instruction");
    return { ...result, tokens: prepared.tokens };
  }

  /** Updates the weights unless a gradient overflowed, and clears the gradients. */
  #update(
    step: number,
    { loss, gradNorm, scale }: { loss: number; gradNorm: number; scale: number },
  ): { lr: number; skipped: boolean } {
    const { device, stage, optimizer, learningRate, lossScale, gradientClipping } = this.#parts;
    const overflow = !Number.isFinite(gradNorm);
    if (overflow && !lossScale) throw this.#notFinite(step, loss);
    const lr = learningRate(optimizer.updates + 1);
    if (!overflow) optimizer.step(lr, clipFactor(gradNorm, gradientClipping) / scale);
    lossScale?.update(overflow);
    if (stage.store.grads) device.zero(stage.store.grads);
    return { lr, skipped: overflow };
  }

  #reduceGradients(): void {
    const { stage, groups } = this.#parts;
    const { grads } = stage.store;
    if (!grads) return;
    for (const { grad } of this.#tied) {
      if (grad) groups.tied?.allReduce(grad);
    }
    if (groups.data.size > 1) groups.data.allReduce(grads);
  }

  #notFinite(step: number, loss: number): RangeError {
    const { device, stage } = this.#parts;
    const where = stage.store.parameters.find(({ grad }) =>
      grad && device.downloadF32(grad).some((value) => !Number.isFinite(value))
    );
    const tensor = where ? `the gradient of ${where.path}` : "a gradient of another stage";
    return new RangeError(
      `Cannot update the weights at step ${step + 1} as ${tensor} is not finite (loss ${loss}): ` +
        "lower the learning rate, lengthen the warm-up or set gradient_clipping",
    );
  }
}
