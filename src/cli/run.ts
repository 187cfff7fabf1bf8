/** From the command line to one subcommand, and from what it throws to an exit status. @module */
import { ConfigError } from "../config/config_error.ts";
import { nearest } from "../config/nearest.ts";
import { FormatError } from "../formats/format_error.ts";
import { type Command, COMMANDS } from "./commands.ts";
import { describeError } from "./describe_error.ts";
import { commandHelp, programHelp } from "./help.ts";
import { UsageError } from "./usage_error.ts";

/** Exit statuses: done, failed while running, wrong usage or configuration (nothing started). */
export const EXIT = { DONE: 0, FAILED: 1, USAGE: 2 } as const;

/**
 * Runs `llmpipe ARGS`. Results go to stdout; errors are printed to stderr, the first cause last.
 *
 * @param args The words after the program's name
 * @returns The exit status
 */
export async function run(args: readonly string[]): Promise<number> {
  const debug = args[0] === "--debug";
  const [name, ...rest] = debug ? args.slice(1) : args;
  try {
    return await dispatch(name, rest);
  } catch (error) {
    // The reader of our output is gone (`llmpipe data x.yml --dump | head`): nobody to tell.
    if (error instanceof Deno.errors.BrokenPipe) return EXIT.FAILED;
    console.error(describeError(error, { debug }));
    const isUsage = [UsageError, ConfigError, FormatError].some((kind) => error instanceof kind);
    if (error instanceof UsageError && find(name)) console.error(`Try: llmpipe ${name} --help`);
    return isUsage ? EXIT.USAGE : EXIT.FAILED;
  }
}

async function dispatch(name: string | undefined, args: string[]): Promise<number> {
  if (name === undefined) {
    console.error(programHelp());
    return EXIT.USAGE;
  }
  if (name === "--help" || name === "-h" || name === "help") return await printHelp(args[0]);
  if (name === "--version" || name === "-V") {
    const { versionText } = await import("./version.ts");
    console.log(await versionText());
    return EXIT.DONE;
  }
  const command = require(name);
  if (asksForHelp(args)) return await printHelp(name);
  return await command.load(args);
}

function printHelp(name: string | undefined): number {
  console.log(name === undefined ? programHelp() : commandHelp(require(name)));
  return EXIT.DONE;
}

/** `--help` counts only among the options, not after `--`. */
function asksForHelp(args: string[]): boolean {
  const end = args.indexOf("--");
  const options = end < 0 ? args : args.slice(0, end);
  return options.includes("--help") || options.includes("-h");
}

function find(name: string | undefined): Command | undefined {
  return COMMANDS.find((command) => command.name === name);
}

function require(name: string): Command {
  const command = find(name);
  if (command) return command;
  const visible = COMMANDS.filter((c) => !c.hidden).map((c) => c.name);
  const guess = nearest(name, visible);
  throw new UsageError(
    `Cannot run "${name}": no such command` +
      (guess === undefined ? ". llmpipe --help lists them" : `, did you mean "${guess}"?`),
  );
}
