/** Tests are read as filters, which the template engine can give arguments. @module */
import type { Token } from "./operator_order.ts";

/** The filters that `is name` and `is not name` become; their first argument is the name. */
export const IS = "_is", IS_NOT = "_is_not";

/** What ends a test that has no argument. */
const NO_ARGUMENT = new Set(["else", "or", "and"]);

/**
 * The tokens with `value is name argument` as `value | _is('name', argument)`.
 *
 * @throws {SyntaxError} If tests are chained without parentheses
 */
export function testsAsFilters(tokens: readonly Token[]): Token[] {
  const out: Token[] = [];
  for (let i = 0; i < tokens.length;) {
    const token = tokens[i]!;
    if (!isWord(token, "is")) {
      out.push(token);
      i++;
      continue;
    }
    const isNegated = isWord(tokens[i + 1], "not"), name = tokens[i + (isNegated ? 2 : 1)]!;
    const begin = i + (isNegated ? 3 : 2), end = endOfArgument(tokens, begin);
    const hasParens = tokens[begin]?.type === "OpenParen";
    if (isWord(tokens[begin], "is")) {
      throw new SyntaxError("a test of a test needs parentheses");
    }
    const inside = tokens.slice(hasParens ? begin + 1 : begin, hasParens ? end - 1 : end);
    out.push(
      { type: "Pipe", value: "|" },
      { type: "Identifier", value: isNegated ? IS_NOT : IS },
      { type: "OpenParen", value: "(" },
      name.type === "Identifier" ? { type: "StringLiteral", value: name.value } : name,
      ...(inside.length > 0 ? [{ type: "Comma", value: "," }, ...testsAsFilters(inside)] : []),
      { type: "CloseParen", value: ")" },
    );
    i = end;
  }
  return out;
}

/** Behind what stands at `begin`, if that is the argument of a test. */
function endOfArgument(tokens: readonly Token[], begin: number): number {
  const { type, value } = tokens[begin] ?? { type: "", value: "" };
  if (type === "OpenParen") return endOfBrackets(tokens, begin);
  const isWordArgument = type === "Identifier" && !NO_ARGUMENT.has(value) && value !== "is";
  const isBracket = type === "OpenSquareBracket" || type === "OpenCurlyBracket";
  if (!isWordArgument && !isBracket && type !== "StringLiteral" && type !== "NumericLiteral") {
    return begin;
  }
  let end = isBracket ? endOfBrackets(tokens, begin) : begin + 1;
  while (true) {
    const next = tokens[end]?.type;
    if (next === "Dot") end += 2;
    else if (next === "OpenParen" || next === "OpenSquareBracket") end = endOfBrackets(tokens, end);
    else return end;
  }
}

function endOfBrackets(tokens: readonly Token[], begin: number): number {
  let depth = 0, i = begin;
  do {
    if (/^Open(Paren|SquareBracket|CurlyBracket)$/.test(tokens[i]!.type)) depth++;
    else if (/^Close(Paren|SquareBracket|CurlyBracket)$/.test(tokens[i]!.type)) depth--;
    i++;
  } while (depth > 0 && i < tokens.length);
  return i;
}

function isWord(token: Token | undefined, word: string): boolean {
  return token?.type === "Identifier" && token.value === word;
}
