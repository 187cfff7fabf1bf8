/** Memory of a stage, found by running its step on the device that only counts. @module */
import { Device } from "../tensor/device.ts";
import { Stage, type StageIo, type StageMemory, type StageSpec } from "./engine.ts";
import type { Instruction } from "./schedule.ts";

/**
 * Runs the instructions of one step without memory or arithmetic and tells what they need. Shapes are
 * fixed, so this is exact for every step.
 */
export function planStage(
  spec: StageSpec,
  instructions: readonly Instruction[],
  options: { zLoss: boolean },
): StageMemory {
  const { B, S } = spec;
  const zeros = () => new Int32Array(B * S);
  const io: StageIo = {
    load: () => ({
      B,
      S,
      ids: zeros(),
      segments: zeros(),
      targets: zeros(),
      ceScale: 1,
      zScales: options.zLoss ? new Float32Array(B * S) : undefined,
    }),
    send: () => ({ wait() {} }),
    receive() {},
    reduceGrads() {},
    step() {},
  };
  const stage = new Stage(Device.dry(), spec);
  stage.run(instructions, io);
  return stage.memory();
}
