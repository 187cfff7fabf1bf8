/** What a person reads when a command fails. @module */

/**
 * The message of an error and of its causes, one per line; the stacks only when debugging.
 *
 * @param error Whatever was thrown
 * @param options.debug Adds the stack of the error and of each cause
 */
export function describeError(error: unknown, options: { debug?: boolean } = {}): string {
  const lines: string[] = [];
  let prefix = "llmpipe: ";
  for (let e: unknown = error; e !== undefined; e = e instanceof Error ? e.cause : undefined) {
    lines.push(prefix + messageOf(e));
    if (options.debug && e instanceof Error && e.stack) lines.push(framesOf(e.stack));
    prefix = "  because: ";
  }
  if (!options.debug && isProgrammingError(error)) {
    lines.push("This looks like a fault of llmpipe itself: llmpipe --debug COMMAND shows where");
  }
  return lines.join("\n");
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || error.name;
}

function framesOf(stack: string): string {
  return stack.split("\n").filter((line) => line.startsWith("    at ")).join("\n");
}

/** Errors of the engine, not of a check: our own messages are sentences that begin with a verb. */
function isProgrammingError(error: unknown): boolean {
  if (error instanceof ReferenceError) return true;
  return error instanceof TypeError &&
    /is not a function|of undefined|of null|is not iterable/.test(error.message);
}
