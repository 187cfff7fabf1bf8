/** What one rank does, top to bottom. @module */
import { openModel } from "../checkpoint/model_source.ts";
import { Communicator } from "../comm/communicator.ts";
import { GroupSet } from "../comm/groups.ts";
import { reportFailure } from "../comm/rank_run.ts";
import type { RendezvousClient } from "../comm/rendezvous_client.ts";
import { formatConfig } from "../config/describe.ts";
import { parseConfig, type TrainConfig } from "../config/load.ts";
import { allocateMicroBatch, loadMicroBatch } from "../data/micro_batch.ts";
import { TokenDataset } from "../data/token_dataset.ts";
import { initializeWeights, loadWeights } from "../models/load_weights.ts";
import type { ModelDescription } from "../models/model.ts";
import { LossScale, lossScaleRule } from "../optim/loss_scale.ts";
import { learningRate, rateSpec } from "../optim/lr_schedule.ts";
import { Stage } from "../pipeline/engine.ts";
import { Topology } from "../pipeline/topology.ts";
import { Transport } from "../pipeline/transport.ts";
import { Device } from "../tensor/device.ts";
import { namingTensors, TensorNames } from "../tensor/native_failure.ts";
import { lossPolicy, makeOptimizer, planRank, programOf, stageSpec } from "./layout.ts";
import { withCachedModel } from "./local_model.ts";
import { describeConfigured, type RunPlan, samplerOf } from "./prepare.ts";
import { restore, type SavedParts, Saver } from "./saver.ts";
import { CONFIG_FILE } from "./start.ts";
import { Trainer } from "./trainer.ts";

/** A step is not interrupted; between steps, the supervisor is heard so often. */
const LISTEN_MS = 100;

/**
 * Trains one stage of one replica to the end of the run.
 *
 * @param run The connection to the supervisor
 * @param plan What the supervisor has prepared
 */
export async function trainRank(run: RendezvousClient, plan: RunPlan): Promise<void> {
  const { rank, localRank, threads } = run.placement;
  const config = withCachedModel(
    parseConfig(JSON.stringify(plan.config.values), plan.config.file),
  );
  const topology = new Topology(config.stages, config.replicas);
  const [p, replica] = [topology.stage(rank), topology.replica(rank)];
  run.place = { stage: p };

  const model = describeConfigured(config);
  const names = new TensorNames();
  using device = Device.open({
    backend: plan.backend,
    index: plan.backend === "cpu" ? 0 : localRank,
    threads: config.threads || threads,
    attention: config.attention,
    f32Products: config.f32_products,
    observe: (kernels) => namingTensors(kernels, names),
  });
  const context = device.context!;
  using groupSet = await GroupSet.connect(
    { pipe: config.stages, data: config.replicas },
    { context, rendezvous: run },
  );
  const isEnd = p === 0 || p === config.stages - 1;
  const isTied = model.layers[0].some(({ tied }) => tied !== undefined);
  using tied = config.stages > 1 && isEnd && isTied
    ? await Communicator.connect({
      context,
      rendezvous: run,
      name: "tied",
      members: [topology.rank(0, replica), topology.rank(config.stages - 1, replica)],
    })
    : undefined;

  try {
    const groups = { ...groupSet.groups, tied };
    await trainStage(run, plan, { config, model, topology, device, names, groups });
  } catch (error) {
    await reportFailure(run, error);
    groupSet.abort(); // this rank does not come any more
    tied?.abort();
    throw error;
  }
}

/** What a rank has once it is connected. */
interface Connected {
  config: TrainConfig;
  model: ModelDescription;
  topology: Topology;
  device: Device;
  names: TensorNames;
  groups: Record<"world" | "pipe" | "data", Communicator> & { tied: Communicator | undefined };
}

/** Loads the weights and trains. */
async function trainStage(
  run: RendezvousClient,
  plan: RunPlan,
  { config, model, topology, device, names, groups: { world, pipe, data, tied } }: Connected,
): Promise<void> {
  const { rank } = run.placement;
  const [p, replica] = [topology.stage(rank), topology.replica(rank)];
  const spec = stageSpec(config, model, plan.parts, p);
  await run.say({ type: "phase", name: "weights" });
  const threads = config.threads || run.placement.threads;
  const memory = planRank(config, spec, p, { backend: plan.backend, threads });
  const stage = new Stage(device, spec, memory);
  names.add(stage.store.parameters);
  const optimizer = makeOptimizer(device, stage.store, config);
  const lossScale = config.dtype === "f16"
    ? new LossScale(lossScaleRule(config.fp16, config.compat))
    : undefined;
  const parts = { device, stage, optimizer, lossScale };
  const done = plan.resume ? restore(plan.resume, parts) : start(parts, config);

  using dataset = TokenDataset.open(plan.dataset);
  const sampler = samplerOf(config, dataset.length);
  const batches = Array.from(
    { length: spec.M },
    () => allocateMicroBatch(spec.B, spec.S),
  );
  const rates = rateSpec(config, plan.steps);
  const trainer = new Trainer({
    device,
    stage,
    instructions: programOf(config, p).instructions,
    transport: new Transport(pipe),
    groups: { world, data, tied },
    optimizer,
    learningRate: (update) => learningRate(rates, update),
    lossScale,
    gradientClipping: config.gradient_clipping,
    loss: lossPolicy(config, model),
    batches: (step) =>
      batches.map((into, m) => ({
        ...loadMicroBatch(dataset, sampler.microBatchRows(step, m, replica), into),
        places: sampler.microBatchPlaces(step, m, replica),
      })),
  });

  const saver = new Saver({
    ...parts,
    world,
    writes: replica === 0,
    savePath: config.save_path,
    id: plan.id,
    modelDir: config.model_path,
    files: { [CONFIG_FILE]: formatConfig(config) },
    keepLast: config.keep_last_n,
  });

  const speaks = p === config.stages - 1 && replica === 0;
  let measured: number[] = [];
  let listened = performance.now();
  for (let step = done; step < plan.steps; step++) {
    if (performance.now() - listened > LISTEN_MS) {
      await new Promise((resolve) => setTimeout(resolve)); // lets messages in
      listened = performance.now();
    }
    run.stopSignal.throwIfAborted();
    run.place = { stage: p, step: step + 1 };
    const start = performance.now();
    const result = trainer.step(step);
    const seconds = (performance.now() - start) / 1000;
    if (step === done) measured = gatherMemory(world, device, topology, rank);
    if (speaks) {
      await run.say({
        type: "metrics",
        values: {
          step: step + 1,
          epoch: sampler.epoch(step),
          loss: result.loss,
          z_loss: result.zLoss,
          ...(model.experts ? { aux_loss: result.auxLoss } : {}),
          grad_norm: result.gradNorm,
          lr: result.lr,
          loss_scale: result.lossScale,
          tokens: result.tokens,
          tokens_per_second: result.tokens / seconds,
          seconds,
          memory: measured,
          skipped: result.skipped,
        },
      });
    }
    const isFinal = step + 1 === plan.steps;
    const every = config.save_every_n_steps;
    if (isFinal || every > 0 && (step + 1) % every === 0) {
      await run.say({ type: "phase", name: "save" });
      await saver.save(step + 1, { isFinal });
    }
  }
}

/** Takes the weights of the stage from scratch, or from the model directory. Returns 0 steps done. */
function start({ device, stage, optimizer }: SavedParts, config: TrainConfig): number {
  if (config.from_scratch) initializeWeights(device, stage.store, config.seed);
  else {
    using source = openModel(config.model_path);
    loadWeights(device, stage.store, source);
  }
  optimizer.start();
  return 0;
}

/** Most bytes that a rank of each stage has allocated, by stage; of the first replica. */
function gatherMemory(
  world: Communicator,
  device: Device,
  topology: Topology,
  rank: number,
): number[] {
  const isFirst = topology.replica(rank) === 0;
  const own = (p: number) => isFirst && topology.stage(rank) === p ? device.peakBytes : 0;
  const all: number[] = [];
  for (let from = 0; from < topology.stages; from += 64) { // as many as one reduction takes
    const count = Math.min(64, topology.stages - from);
    all.push(...world.reduceNumbers(Array.from({ length: count }, (_, i) => own(from + i))));
  }
  return all;
}
