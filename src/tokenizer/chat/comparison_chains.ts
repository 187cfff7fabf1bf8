/** Comparisons in a row, which the engine reads in another way than Python. @module */

/** A token of the template engine, by what is asked of it here. */
export interface Token {
  /** Such as `StringLiteral`. */
  type: string;
  /** Its text. */
  value: string;
}

const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">=", "in"]);
/** What binds less than a comparison, or ends it. */
const BREAKS = new Set(["and", "or", "not", "if", "else", "elif", ",", ":", "=", "{%", "{{"]);

/**
 * Refuses `a < b < c`, which the engine reads as `(a < b) < c`.
 *
 * @throws {SyntaxError} If there is one
 */
export function expectNoChains(tokens: readonly Token[]): void {
  const compared = [false]; // in each pair of brackets that is open
  tokens.forEach(({ type, value }, i) => {
    if (type === "StringLiteral" || type === "Text") return;
    if (/^[([{]$/.test(value)) compared.push(false);
    else if (/^[)\]}]$/.test(value)) compared.pop();
    const isLoop = value === "in" && compared.length === 1 && isTarget(tokens, i);
    const isNotIn = value === "not" && tokens[i + 1]?.value === "in";
    if (BREAKS.has(value) && !isNotIn) compared[compared.length - 1] = false;
    else if (COMPARISONS.has(value) && !isLoop) {
      if (compared.at(-1)) throw new SyntaxError("a chain of comparisons is not supported");
      compared[compared.length - 1] = true;
    }
  });
}

/** Whether what stands before an `in` is what a loop assigns to. */
function isTarget(tokens: readonly Token[], at: number): boolean {
  let i = at - 1;
  while (i > 0 && tokens[i]!.value !== "{%" && tokens[i]!.value !== "if") i--;
  return tokens[i]?.value === "{%" && tokens[i + 1]?.value === "for" &&
    tokens.slice(i + 2, at).every(({ value }) => value !== "in");
}
