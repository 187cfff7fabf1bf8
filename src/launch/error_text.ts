/** What is told of an error: its message and causes, and whether its stack matters. @module */

/** Messages of the engine for mistakes of ours; our own checks make sentences with a verb. */
const ENGINE =
  /is not a function|of undefined|of null|is not iterable|not defined|call stack|array length|allocation failed/;

/**
 * The messages of an error and of its causes, outermost first. A cause that says nothing new is
 * left out.
 */
export function messagesOf(error: unknown): string[] {
  const messages: string[] = [];
  for (const e of chainOf(error)) {
    const message = e instanceof Error ? e.message || e.name : String(e);
    if (!messages.some((known) => known.includes(message))) messages.push(message);
  }
  return messages;
}

/** An error and its causes, outermost first. */
export function chainOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let e = error; e !== undefined; e = e instanceof Error ? e.cause : undefined) chain.push(e);
  return chain;
}

/** True for a mistake of the program, which only its stack explains; not for what a check refused. */
export function isProgramFault(error: unknown): boolean {
  if (error instanceof ReferenceError) return true;
  const isEngineKind = error instanceof TypeError || error instanceof RangeError;
  return isEngineKind && ENGINE.test(error.message);
}
