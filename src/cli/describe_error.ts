/** What a person reads when a command fails. @module */
import { chainOf, isProgramFault, messagesOf } from "../launch/error_text.ts";

/**
 * The message of an error and of its causes, one per line; the stacks only when debugging.
 *
 * @param error Whatever was thrown
 * @param options.debug Adds the stack of the error and of each cause
 */
export function describeError(error: unknown, options: { debug?: boolean } = {}): string {
  const lines = messagesOf(error).map((message, i) =>
    `${i === 0 ? "llmpipe: " : "  because: "}${message}`
  );
  if (options.debug) {
    for (const e of chainOf(error)) {
      if (e instanceof Error && e.stack) lines.push(framesOf(e.stack));
    }
  } else if (isProgramFault(error)) {
    lines.push("This looks like a fault of llmpipe itself: llmpipe --debug COMMAND shows where");
  }
  return lines.join("\n");
}

function framesOf(stack: string): string {
  return stack.split("\n").filter((line) => line.startsWith("    at ")).join("\n");
}
