/** The help texts, made from the table of commands. @module */
import { type Command, COMMANDS } from "./commands.ts";

/** `llmpipe --help`. */
export function programHelp(): string {
  const visible = COMMANDS.filter((command) => !command.hidden);
  const width = Math.max(...visible.map((command) => command.name.length));
  const rows = visible.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `llmpipe trains language models with pipeline parallelism, on CPUs and GPUs, without Python

Usage: llmpipe COMMAND [OPTIONS]

Commands
${rows.join("\n")}

Options
  --help       This text; after a command, what the command does
  --version    Version, commit, Deno and backends
  --debug      Before a command: errors with their stack

Results go to stdout, progress and errors to stderr.
Exit status: 0 done, 1 failed while running, 2 wrong usage or configuration (nothing was started)`;
}

/** `llmpipe COMMAND --help`. */
export function commandHelp({ name, summary, usage, details }: Command): string {
  const lines = usage.map((line, i) =>
    `${i ? "      " : "Usage:"} llmpipe ${name}${line && " "}${line}`
  );
  return `${summary}\n\n${lines.join("\n")}\n\n${details.replace(/^\n/, "")}`;
}
