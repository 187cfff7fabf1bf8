/**
 * Whatever is wrong with what a user gives: one clear error, exit status 2 (1 once running), nothing
 * started and nothing overwritten. Every case is a process of its own, as a user starts it.
 */
import { join } from "@std/path";
import { convertToPipeline } from "../../src/checkpoint/convert.ts";
import { writeSafetensors } from "../../src/formats/safetensors.ts";
import {
  at,
  type Case,
  check,
  dataFile,
  expectRefused,
  GOOD_SAMPLES,
  grid,
  INIT,
  modelDir,
  right,
  withData,
  withModel,
  withSample,
  withTokenizer,
} from "./refusals.ts";
import { isAvailable } from "../ops/check_op.ts";

expectRefused("a wrong configuration names key, requirement, value and place", () => ({
  "no such file": { args: ["train", "DIR/none.yml"], says: ["DIR/none.yml", "no such file"] },
  "a directory": { args: ["plan", "DIR"], says: ["it is a directory, not a file"] },
  "no file given": { args: ["train"], says: ["Expected CONFIG.yml", "Try: llmpipe train --help"] },
  "not YAML": { edit: (yaml) => `${yaml}more: [1\n`, says: ["Cannot parse YAML", ".yml:"] },
  "many problems at once": {
    config: {
      n_epochs: 3,
      max_seq_len: "long",
      train_micro_batch_size_per_gpu: 0,
      bf16: { enabled: "maybe" },
      optimizer: { type: "AdamWW", params: { lr: -1 } },
      schedule: ["1f1b"],
      seed: 1.5,
    },
    says: [
      "there are 7 problems",
      "Unknown key n_epochs: did you mean n_epoches? (",
      "max_seq_len as it must be an integer from 2 to 16777216 (a row of 1 has no token to predict): " +
      'current value is "long" (',
      "train_micro_batch_size_per_gpu as it must be an integer from 1",
      "did you mean AdamW?",
      "bf16.enabled as it must be true or false",
      "schedule as it must be one of 1f1b, gpipe",
      "seed as it must be an integer",
      ".yml:4:14)",
    ],
  },
  "a missing key": {
    edit: (yaml) => yaml.replace(/^max_seq_len.*\n/m, ""),
    says: ["Cannot start without max_seq_len"],
  },
  "parts that do not sum": {
    config: { model_topo: grid([2, 1], [2, 5]) },
    says: [
      "the sum of model_topo.parts must be 4 (2 blocks, embedding and head)",
      "is 7 (",
      ".yml:",
    ],
  },
  "parts of another count": {
    config: { model_topo: grid([2, 1], [1, 1, 2]) },
    says: ["model_topo.parts must have one entry for each of the 2 stages of dims: it has 3 ("],
  },
  "more stages than layers": {
    config: { model_topo: grid([8, 1]), gradient_accumulation_steps: 8 },
    says: ["it has 4 layers and each of the 8 stages needs one", ".yml:"],
  },
  "dims beyond the batch": {
    config: { model_topo: grid([1, 8]), train_batch_size: 4 },
    edit: (yaml) => yaml.replace(/^(gradient_acc|train_micro).*\n/gm, ""),
    says: ["train_batch_size", "must be a multiple of data replicas = 8: current value is 4 ("],
  },
  "batch sizes that disagree": {
    config: { train_batch_size: 5 },
    says: ["train_batch_size as it must be", "1 * 2 * 1 = 2: current value is 5"],
  },
  "dims beyond the data": {
    config: { model_topo: grid([1, 8]), gradient_accumulation_steps: 8 },
    says: ["a step needs", "= 64 rows: n_epoches = 2 gives 32"],
  },
  "a row longer than the model": {
    config: { max_seq_len: 65 },
    says: ["max_seq_len as it must be at most 64", "current value is 65 ("],
  },
  ...(isAvailable("cuda") ? {} : {
    "a device that is not there": {
      config: { device: "cuda" },
      says: ["Cannot use device: cuda as"],
    },
  }),
  "a path that only a shell understands": {
    config: { data_path: "~/data.jsonl" },
    says: ["data_path as it must be a path without ~", 'current value is "~/data.jsonl" ('],
  },
  "an override of nothing": {
    args: ["train", right(), "--set", "optimizer"],
    says: ["optimizer"],
  },
  "an override without a word": {
    args: ["train", right(), "--set"],
    says: ["The option --set needs a value", "Try: llmpipe train --help"],
  },
}));

expectRefused("a model that is not there, or not a model, is refused before the run", () => {
  const noConfig = modelDir((_, config) => delete config.model_type);
  return {
    "no directory": withModel(at("nowhere"), "DIR/nowhere", "no such directory"),
    "no config.json": withModel(noConfig, `${noConfig}/config.json`, "no such file"),
    "no config.json, generate": {
      args: ["generate", "--model-path", noConfig, "--prompt", "x"],
      says: [`${noConfig}/config.json`],
    },
    "config.json is not JSON": withModel(
      modelDir((dir, config) => {
        delete config.model_type;
        Deno.writeTextFileSync(join(dir, "config.json"), '{"a": ');
      }),
      "config.json: ",
    ),
    "another family": withModel(
      modelDir((_, config) => config.model_type = "gptx"),
      "model_type must be one of ",
      '"gptx"',
      "/config.json)",
    ),
    "a missing key": withModel(
      modelDir((_, config) => delete config.num_attention_heads),
      "num_attention_heads must be an integer of at least 1: it is missing (",
      "/config.json)",
    ),
    "a padding token beyond the vocabulary": withModel(
      modelDir((_, config) => config.pad_token_id = 200),
      "pad_token_id must be an integer from -1 to 199: current value is 200",
    ),
    "a wrong key": withModel(
      modelDir((_, config) => config.hidden_size = "48"),
      'hidden_size must be an integer of at least 1: current value is "48"',
    ),
    "heads that do not divide": {
      args: [
        "plan",
        right({ model_path: modelDir((_, config) => config.num_key_value_heads = 3) }),
      ],
      says: ["num_attention_heads must be a multiple of num_key_value_heads = 3"],
    },
  };
});

const LFS_POINTER = "version https://git-lfs.github.com/spec/v1\n" +
  "oid sha256:4665a9ea423c2713d436b5ee50593a9640e0018c1550b5a0002f74190d6caea8\nsize 13\n";
const convert = (
  from: string,
  to = "SAVE/new",
) => ["convert", "hg_to_pp", "--input-path", from, "--save-path", to];
const logits = (model: string) => {
  const input = at("rows.safetensors");
  writeSafetensors(
    input,
    ["input_ids", "attention_mask"].map((name) => ({
      name,
      dtype: "I64",
      shape: [1, 2],
      chunks: () => [new Uint8Array(BigInt64Array.of(1n, 1n).buffer)],
    })),
  );
  return ["logits", "--model-path", model, "--input", input, "--output", "SAVE/out.safetensors"];
};

expectRefused("weights that do not fit are refused by their headers, before the run", () => {
  const weights = (dir: string) => join(dir, "model.safetensors");
  const truncated = modelDir((dir) => Deno.truncateSync(weights(dir), 100_000));
  const sharded = modelDir((dir) => {
    Deno.renameSync(weights(dir), join(dir, "model-00001-of-00002.safetensors"));
    const weight_map = {
      "model.embed_tokens.weight": "model-00001-of-00002.safetensors",
      "lm_head.weight": "model-00002-of-00002.safetensors",
    };
    Deno.writeTextFileSync(
      join(dir, "model.safetensors.index.json"),
      JSON.stringify({ weight_map }),
    );
  });
  return {
    "no weights": withModel(
      modelDir((dir) => Deno.removeSync(weights(dir))),
      "Cannot find a model in",
      "it must hold model.safetensors",
    ),
    "cut short": withModel(truncated, "model.safetensors", "97864 bytes", "243648"),
    "not safetensors": withModel(
      modelDir((dir) => Deno.writeTextFileSync(weights(dir), "hello world")),
      "model.safetensors as its header must",
    ),
    "an empty file": withModel(
      modelDir((dir) => Deno.truncateSync(weights(dir), 0)),
      "model.safetensors",
    ),
    "a missing shard": withModel(
      sharded,
      "model-00002-of-00002.safetensors: there is no such file",
    ),
    "a missing shard, convert": {
      args: ["convert", "hg_to_pp", "--input-path", sharded, "--save-path", "SAVE/new"],
      says: ["model-00002-of-00002.safetensors: there is no such file"],
    },
    "cut short, generate": {
      args: ["generate", "--model-path", truncated, "--prompt", "x"],
      says: ["model.safetensors", "97864 bytes"],
    },
    "no file, inspect": { args: ["inspect", "DIR/none"], says: ["DIR/none"] },
    "no file of tensors, inspect": {
      args: ["inspect", join(INIT, "config.json")],
      says: ["config.json as it is neither a zip archive nor another file of torch.save"],
      status: 1,
    },
    "no tensors, inspect": { args: ["inspect", "SAVE"], says: ["Cannot inspect"], status: 1 },
    "cut short, inspect": { args: ["inspect", truncated], says: ["model.safetensors"], status: 1 },
    "other shapes": withModel(
      modelDir((_, config) => config.intermediate_size = 100),
      "model.layers.0.mlp.gate_proj.weight of",
      "config.json makes it [100, 48]: current shape is [96, 48]",
    ),
    "other shapes, convert": {
      args: convert(modelDir((_, config) => config.intermediate_size = 100)),
      says: ["model.layers.0.mlp.gate_proj.weight of", "current shape is [96, 48]"],
    },
    "sizes beyond all, logits": {
      args: logits(modelDir((_, config) => config.hidden_size = 1e12)),
      says: ["hidden_size must be an integer from 1 to 2147483647: current value is 1000000000000"],
    },
    "other sizes, logits": {
      args: logits(modelDir((_, config) => config.intermediate_size = 2 ** 31 - 1)),
      says: ["model.layers.0.mlp.gate_proj.weight of", "current shape is [96, 48]"],
    },
    "a pointer of Git LFS": withModel(
      modelDir((dir) => Deno.writeTextFileSync(weights(dir), LFS_POINTER)),
      "model.safetensors as it is a pointer of Git LFS, not the file itself: fetch it with `git lfs",
    ),
    "a tensor missing": withModel(
      modelDir((_, config) => config.num_hidden_layers = 3),
      "model.layers.2.self_attn.q_proj.weight",
    ),
    "a tensor left over": withModel(
      modelDir((_, config) => config.num_hidden_layers = 1),
      "this llama model has no tensor named model.layers.1.",
    ),
    "a checkpoint that is none": {
      args: ["train", right(), "--resume", "DIR/nothing"],
      says: ["DIR/nothing/trainer_state.json", "no such file"],
    },
  };
});

Deno.test("a layer file that is missing or damaged is refused before the run", async () => {
  const pipeline = at("pipeline");
  await convertToPipeline({ inputPath: INIT, savePath: pipeline, force: false });
  const path = join(pipeline, "layer_02-model_states.safetensors");
  Deno.writeTextFileSync(at("good.jsonl"), GOOD_SAMPLES);
  const c: Case = { config: { model_path: pipeline }, says: ["layer_02-model_states.safetensors"] };
  Deno.truncateSync(path, 2000);
  await check("damaged", c);
  Deno.removeSync(path);
  await check("missing", c);
});

expectRefused("a broken sample is named by file, line, index and field", () => {
  const tokens = (fields: Record<string, unknown>) => JSON.stringify({ type: "tokens", ...fields });
  const beyond = withSample(tokens({ input_ids: [5, 200, 3] }));
  const broken = withSample('{"type":"tokens","input_ids":[5,');
  return {
    "a token beyond the vocabulary": withData(
      beyond,
      `sample [16] of ${beyond} (line 17): field "input_ids[1]"`,
      "below the vocabulary size 200, but is 200",
    ),
    "the same, data": {
      args: ["data", right({ data_path: beyond })],
      says: [`sample [16] of ${beyond} (line 17)`],
    },
    "not JSON": withData(broken, `element [16] of ${broken} (line 17, byte`),
    "not JSON, data --dump": {
      args: ["data", "--dump", right({ data_path: broken })],
      says: [`element [16] of ${broken} (line 17, byte`],
    },
    "no text": withData(
      withSample('{"type":"instruct","instruct":"x","input":3,"output":"y"}'),
      "(line 17)",
      'field "input" must be text',
    ),
    "another type": withData(
      withSample('{"type":"instuct","output":"y"}'),
      'field "type"',
      'did you mean "instruct"?',
    ),
    "a missing field": withData(
      withSample('{"type":"pretrain","txt":"y"}'),
      'field "text"',
      '"txt"',
    ),
    "labels of another length": withData(
      withSample(tokens({ input_ids: [5, 3], labels: [5] })),
      'field "labels" must be as long as input_ids (2)',
    ),
    "no samples": withData(dataFile(""), "the data file holds no samples"),
    "an empty array": withData(dataFile("[]"), "the data file holds no samples"),
    "nothing to learn": withData(
      dataFile(tokens({ input_ids: [5, 3], labels: [-100, -100] })),
      "no token of its 1 samples takes loss",
    ),
    "no such file": withData(at("nodata"), "data_path DIR/nodata: there is no such file"),
    "a directory": withData(INIT, "it must be a file"),
  };
});

expectRefused("a tokenizer that is missing, broken or too large for the model is refused", () => {
  const text = dataFile('{"type":"pretrain","text":"hello world"}\n'.repeat(16));
  const large = modelDir(withTokenizer);
  const corrupt = modelDir((dir) => {
    withTokenizer(dir);
    Deno.truncateSync(join(dir, "tokenizer.json"), 1000);
  });
  const tooLarge = "vocab_size in config.json must be at least the 2600 tokens of its tokenizer: " +
    "current value is 200";
  return {
    "too large, train": { config: { model_path: large, data_path: text }, says: [tooLarge] },
    "too large, generate": {
      args: ["generate", "--model-path", large, "--prompt", "hello"],
      says: [tooLarge],
    },
    "none, train": { config: { data_path: text }, says: ["must hold tokenizer.json"] },
    "none, tokenize": {
      args: ["tokenize", "--model-path", INIT],
      says: ["must hold tokenizer.json or tokenizer.model"],
    },
    "broken, train": {
      config: { model_path: corrupt, data_path: text },
      says: [`${corrupt}/tokenizer.json`],
    },
    "a pointer of Git LFS, tokenize": {
      args: [
        ...["tokenize", "--model-path"],
        modelDir((dir) => Deno.writeTextFileSync(join(dir, "tokenizer.model"), LFS_POINTER)),
      ],
      says: ["tokenizer.model as it is a pointer of Git LFS"],
    },
    "broken, tokenize": {
      args: ["tokenize", "--model-path", corrupt],
      says: [`${corrupt}/tokenizer.json`],
    },
    "a line without text": {
      args: ["tokenize", "--model-path", large],
      shell: `printf '{"text":"a"}\\n{"txt":"b"}\\n' |`,
      says: ["line 2", "text"],
      status: 1,
    },
    "nothing to train a tokenizer on": {
      args: [
        "tokenizer",
        "train",
        "--input",
        "DIR/none",
        "--vocab-size",
        "300",
        "--save-path",
        "SAVE/t",
      ],
      says: ["DIR/none"],
    },
    "no text to train a tokenizer on": {
      args: [
        ...["tokenizer", "train", "--input", dataFile(""), "--vocab-size", "300"],
        ...["--save-path", "DIR/no_text"],
      ],
      says: ["Cannot train tokenizer as there is no text to learn"],
    },
    "the tokenizer of another": {
      args: [
        ...["tokenizer", "train", "--input", text, "--vocab-size", "300"],
        ...["--save-path", large],
      ],
      says: [`${large} as it holds one (tokenizer.json, tokenizer.model, tokenizer_config.json)`],
    },
    "no room for a tokenizer": {
      args: [
        ...["tokenizer", "train", "--input", text, "--vocab-size", "300"],
        ...["--save-path", "/proc/tokenizer"],
      ],
      says: ["Cannot write a tokenizer to /proc/tokenizer"],
    },
  };
});

expectRefused("a save path that is taken or cannot be written is refused and left as it is", () => {
  const file = dataFile("of the user");
  Deno.mkdirSync(at("held"), { recursive: true });
  Deno.writeTextFileSync(at("held/metrics.jsonl"), '{"step":1}\n');
  return {
    "below a file": {
      config: { save_path: at("good.jsonl/run") },
      says: ["Cannot write to save_path DIR/good.jsonl/run: Not a directory"],
    },
    "a file": { config: { save_path: file }, says: [`Cannot write to save_path ${file}`] },
    "a read-only file system": {
      config: { save_path: "/proc/run" },
      says: ["Cannot write to save_path /proc/run"],
    },
    "the run of another": {
      config: { save_path: at("held") },
      says: ["DIR/held as it already holds a run (metrics.jsonl)", "--resume auto"],
    },
    "log_path": {
      config: { log_path: at("nowhere/x.log") },
      says: ["Cannot write log_path DIR/nowhere/x.log"],
    },
    "convert, below a file": {
      args: convert(INIT, "DIR/good.jsonl/x"),
      says: ["DIR/good.jsonl/x"],
    },
    "convert, in use": { args: convert(INIT, "SAVE"), says: ["must be empty or absent"] },
    "convert, no input": {
      args: ["convert", "pp_to_hg", "--input-path", "DIR/none", "--save-path", "SAVE/new"],
      says: ["DIR/none"],
    },
    "convert, no size": {
      args: [...convert(INIT).with(1, "pp_to_hg"), "--max-shard-size", "lots"],
      says: ["--max-shard-size must be a size such as 500MB", "current value is lots"],
    },
  };
});
