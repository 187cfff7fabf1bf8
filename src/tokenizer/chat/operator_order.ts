/**
 * Where the template engine reads operators in another order than Jinja2.
 *
 * @module
 */

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
const ENDS = new Set(["%}", "}}"]);

/** What was read of an expression since its last break, in one pair of brackets. */
interface Level {
  hasComparison: boolean;
  /** Where the operand behind the last `+` or `-` begins, in the new tokens. */
  afterSum: number | undefined;
  /** Whether that operand has been put in parentheses, which are open. */
  isOpen: boolean;
}

/**
 * The tokens of a tag with parentheses around `b ~ c` in `a + b ~ c`, which the engine reads as `(a + b) ~ c`.
 *
 * @throws {SyntaxError} If there is `a < b < c`, which the engine reads as `(a < b) < c`
 */
export function inOrder(tokens: readonly Token[]): Token[] {
  const out: Token[] = [], levels = [newLevel()];
  let hasLoopHead = tokens[1]?.value === "for"; // the first `in` behind it compares nothing
  const put = (value: string, type: string, at: number) => out.splice(at, 0, { value, type });
  tokens.forEach((token, i) => {
    const { type, value } = token, level = levels.at(-1)!;
    const isOperator = type !== "StringLiteral" && type !== "Text";
    const isBreak = BREAKS.has(value) || ENDS.has(value) || COMPARISONS.has(value) ||
      /^[)\]}]$/.test(value) || type === "AdditiveBinaryOperator" && value !== "~";
    if (isOperator && isBreak && level.isOpen) {
      put(")", "CloseParen", out.length);
      level.isOpen = false;
    }
    out.push(token);
    if (!isOperator) return;
    if (/^[([{]$/.test(value)) levels.push(newLevel());
    else if (/^[)\]}]$/.test(value)) levels.pop();
    else if (value === "~" && level.afterSum !== undefined && !level.isOpen) {
      put("(", "OpenParen", level.afterSum);
      level.isOpen = true;
    } else if (type === "AdditiveBinaryOperator" && value !== "~") level.afterSum = out.length;
    else if (value === "in" && hasLoopHead && levels.length === 1) hasLoopHead = false;
    else if (COMPARISONS.has(value)) {
      if (level.hasComparison) throw new SyntaxError(CHAIN);
      Object.assign(level, newLevel(), { hasComparison: true });
    } else if (BREAKS.has(value) && !(value === "not" && tokens[i + 1]?.value === "in")) {
      Object.assign(level, newLevel());
    }
  });
  return out;
}

const CHAIN = "a chain of comparisons is not supported: write a < b and b < c";

function newLevel(): Level {
  return { hasComparison: false, afterSum: undefined, isOpen: false };
}
