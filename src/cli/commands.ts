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
    name: "generate",
    summary: "Continues a prompt with a trained model",
    usage: ["--model-path DIR --prompt TEXT [OPTIONS]"],
    details: `
  --model-path DIR      Model directory, Hugging Face or pipeline layout
  --prompt TEXT         The text to continue
  --max-new-tokens N    Stop after N tokens
  --temperature T       0 takes the likeliest token
  --top-k K             Choose among the K likeliest tokens
  --top-p P             Choose among the likeliest tokens that make up the probability P
  --seed S              The same seed gives the same text
  --stop TEXT           Stop before TEXT; may be given more than once

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
  --model-path DIR        Model directory, Hugging Face or pipeline layout
  --input FILE            input_ids, attention_mask [B,S] i64, labels [B,S] i64 (optional)
  --output FILE           logits [B,S,V] f32, loss [1] f32, grad.NAME f32
  --z-loss W              Adds W times the auxiliary max-z loss
  --grads all|NAME,NAME   Which gradients to write, by their Hugging Face names
  --dtype f32|bf16|fp16   Arithmetic (default f32)`,
    load: async (args) => (await import("./logits.ts")).logits(args),
  },
  {
    name: "doctor",
    summary: "Says what works on this machine and why the rest does not",
    usage: ["[--json]"],
    details: `
  --json   The same as one JSON object

Exit status 1 when this machine cannot train.`,
    load: async (args) => (await import("./doctor.ts")).doctor(args),
  },
];
