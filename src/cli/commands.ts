/** The table of subcommands: names, help and where each one is. @module */

/** One subcommand. */
export interface Command {
  /** The word after `llmpipe`. */
  name: string;
  /** One line for the list of commands. */
  summary: string;
  /** What may follow the name, one line per form. */
  usage: string[];
  /** The rest of the help: options, input and output. */
  details: string;
  /** Runs by other commands, not listed. */
  hidden?: boolean;
  /** Loads the command's module (heavy ones must not slow the start of others) and runs it. */
  load(args: string[]): Promise<number>;
}

/** All subcommands, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  {
    name: "train",
    summary: "Trains a model as a configuration says",
    usage: ["CONFIG.yml [--set KEY=VALUE]... [--resume auto|DIR] [--device auto|cpu|cuda]"],
    details: `
  --set KEY=VALUE   Overrides a key, such as optimizer.params.lr=1e-4; may be given more than once
  --resume auto     Goes on from the newest complete checkpoint of save_path, if there is one
  --resume DIR      Goes on from this checkpoint
  --device NAME     Overrides the key device; cuda has been tested on an emulation only, so far:
                    see llmpipe doctor --gpu-selftest

Writes metrics.jsonl, checkpoints and checkpoint_final into save_path.`,
    load: async (args) => (await import("./train.ts")).train(args),
  },
  {
    name: "plan",
    summary: "Shows stages, memory, time and schedule of a run without starting it",
    usage: ["CONFIG.yml [--set KEY=VALUE]..."],
    details: `
  --set KEY=VALUE   Overrides a key; may be given more than once`,
    load: async (args) => (await import("./plan.ts")).plan(args),
  },
  {
    name: "data",
    summary: "Shows what a configuration will train on",
    usage: ["CONFIG.yml [--dump] [--set KEY=VALUE]..."],
    details: `
  --dump            One JSON line {"input_ids","attention_mask","labels"} per sample, in file order
  --set KEY=VALUE   Overrides a key; may be given more than once

Tokenizes the data into the cache that train reads, counts samples, tokens and those that take loss,
and shows the first sample with what the model learns between << and >>. Warnings go to stderr.`,
    load: async (args) => (await import("./data.ts")).data(args),
  },
  {
    name: "generate",
    summary: "Continues a prompt with a trained model",
    usage: ["--model-path DIR --prompt TEXT [OPTIONS]"],
    details: `
  --model-path DIR       Model directory, Hugging Face or pipeline layout; or a name on a hub
  --prompt TEXT          The text to continue; --prompt=TEXT when it begins with a dash
  --chat                 Takes the prompt for a message of the user, as the chat template writes it
  --max-new-tokens N     Stops after N tokens (default 128)
  --temperature T        0 takes the likeliest token (default 0; 1 with --top-k or --top-p)
  --top-k K              Chooses among the K likeliest tokens
  --top-p P              Chooses among the likeliest tokens that make up the probability P
  --seed S               The same seed gives the same text (default 0)
  --stop TEXT            Stops before TEXT; may be given more than once
  --dtype f32|bf16|fp16  Arithmetic (default: the type of the weights)
  --threads N            Threads (default: all cores)
  --device NAME          auto, cpu or cuda (default auto: cuda if it works here)

Tokens appear on stdout as they are made.`,
    load: async (args) => (await import("./generate.ts")).generate(args),
  },
  {
    name: "logits",
    summary: "Computes logits, loss and gradients of given rows",
    usage: [
      "--model-path DIR --input IN.safetensors --output OUT.safetensors [OPTIONS]",
    ],
    details: `
  --model-path DIR        Model directory, Hugging Face or pipeline layout; or a name on a hub
  --input FILE            input_ids, attention_mask [B,S] i64, labels [B,S] i64 (optional)
  --output FILE           logits [B,S,V] f32, loss [1] f32, grad.NAME f32
  --z-loss W              Adds W times the auxiliary max-z loss
  --grads all|NAME,NAME   Which gradients to write, by their Hugging Face names
  --dtype f32|bf16|fp16   Arithmetic (default f32)
  --attention ALGORITHM   flash, or reference: one query at a time, to check the other
  --device NAME           auto, cpu or cuda (default auto: cuda if it works here)

Nothing is dropped, whatever dropout config.json has: gradients are those of evaluation.`,
    load: async (args) => (await import("./logits.ts")).logits(args),
  },
  {
    name: "convert",
    summary: "Converts between Hugging Face and pipeline layout",
    usage: [
      "hg_to_pp --input-path DIR|NAME --save-path DIR [--format pt] [OPTIONS]",
      "pp_to_hg --input-path DIR --save-path DIR [--max-shard-size 1GB] [OPTIONS]",
      "download --model-name NAME --save-path DIR [--force]",
    ],
    details: `
  --input-path DIR|NAME        The model to read; a name on a hub where there is no such directory
  --model-name NAME            ORGANISATION/MODEL or ORGANISATION/MODEL@REVISION on a hub
  --save-path DIR              Where to write it; a folder that is new or empty
  --format safetensors|pt      Files of the pipeline layout; pt is for programs that read with
                               torch.load (default safetensors)
  --max-shard-size SIZE        Largest safetensors file of the Hugging Face layout (default 1GB)
  --dtype keep|f32|bf16|fp16   Type of the written weights (default keep)
  --force                      Replaces a model in the folder

Streams: needs little more memory than the largest tensor. The folder appears when it is complete;
until then its files stand in SAVE_PATH.partial, and after an interruption the same command goes on
with them.

Models of a hub are kept in the cache of huggingface_hub. HF_ENDPOINT, HF_TOKEN, HF_HOME,
HF_HUB_CACHE and HF_HUB_OFFLINE mean what they mean there. Where a model directory is read, its name
on a hub will do.`,
    load: async (args) => (await import("./convert.ts")).convert(args),
  },
  {
    name: "inspect",
    summary: "Lists the tensors of a model or of a file, a line of JSON each",
    usage: ["FILE|DIR [--hash]"],
    details: `
  FILE|DIR   A model directory, a .safetensors file or a .pt file
  --hash     Adds a hash of each tensor's bytes`,
    load: async (args) => (await import("./inspect.ts")).inspect(args),
  },
  {
    name: "tokenize",
    summary: "Turns text into token ids and back, JSON lines on stdin and stdout",
    usage: ["--model-path DIR [--special]", "--model-path DIR --decode [--skip-special]"],
    details: `
  --model-path DIR   Directory with the tokenizer's files, or a name on a hub
  --special          Add the special tokens that the model expects around a text
  --decode           From ids to text
  --skip-special     Leave special tokens out of the text

stdin {"text"} gives {"ids"}; with --decode, {"ids"} gives {"text"} with all its spaces, whatever
clean_up_tokenization_spaces says.`,
    load: async (args) => (await import("./tokenize.ts")).tokenize(args),
  },
  {
    name: "tokenizer",
    summary: "Trains a byte-level BPE tokenizer",
    usage: ["train --input FILE --vocab-size N --save-path DIR [OPTIONS]"],
    details: `
  --input FILE      Text or samples to learn from
  --vocab-size N    Number of token ids, special tokens included
  --save-path DIR   Gets tokenizer.json and its companions
  --special TEXT    A special token; may be given more than once
  --force           Replaces a tokenizer in the folder`,
    load: async (args) => (await import("./tokenizer.ts")).tokenizer(args),
  },
  {
    name: "doctor",
    summary: "Says what works on this machine and why the rest does not",
    usage: ["[--device auto|cpu|cuda] [--gpu-selftest]"],
    details: `
  --device NAME    cpu or cuda: exit status 1 when that backend does not work
  --gpu-selftest   Instead, compares every kernel on every GPU with the CPU at sizes where kernels
                   go wrong, and prints how fast it is beside the GPU's measured peaks

Exit status 1 when something that every run needs does not work, or a kernel's numbers are wrong; 2
when --gpu-selftest finds no GPU that can be used.`,
    load: async (args) => (await import("./doctor.ts")).doctor(args),
  },
  {
    name: "rank",
    summary: "One process of a run; started by train",
    usage: ["PLAN.json"],
    details: "Connects to the process that started it and does what it is told.",
    hidden: true,
    load: async (args) => (await import("./rank.ts")).rank(args),
  },
];
