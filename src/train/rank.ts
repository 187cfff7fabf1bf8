/** What one rank does, top to bottom. @module */
import { openModel } from "../checkpoint/model_source.ts";
import { joinRun } from "../comm/join_run.ts";
import { parseConfig } from "../config/load.ts";
import { allocateMicroBatch, loadMicroBatch } from "../data/micro_batch.ts";
import { TokenDataset } from "../data/token_dataset.ts";
import { initializeWeights, loadWeights } from "../models/load_weights.ts";
import { learningRate } from "../optim/lr_schedule.ts";
import { LossScale, lossScaleRule } from "../optim/loss_scale.ts";
import { Stage } from "../pipeline/engine.ts";
import { Topology } from "../pipeline/topology.ts";
import { Transport } from "../pipeline/transport.ts";
import { Device } from "../tensor/device.ts";
import { lossPolicy, makeOptimizer, planRank, programOf, stageSpec } from "./layout.ts";
import { describeConfigured, type RunPlan, samplerOf } from "./prepare.ts";
import { Saver } from "./saver.ts";
import { Trainer } from "./trainer.ts";
