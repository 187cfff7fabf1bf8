/**
 * Compiles regular expressions that were written for Python's `re`.
 *
 * Where the two languages write the same thing differently it is translated; what JavaScript
 * cannot express, or would understand differently, is refused.
 *
 * @module
 */

/** What Python writes and JavaScript has no equal of, or gives another meaning. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/^\(\?<(?![=!])/, "(?<name> is not Python; write (?P<name>...)"],
  [/^\(\?\(/, "conditions (?(1)...) cannot be used"],
  [/^\(\?>/, "atomic groups (?>...) cannot be used"],
  [/^\(\?#/, "comments (?#...) cannot be used"],
  [/^\(\?[aLmsux]*[aLux]/, "the flags a, L, u and x cannot be used"],
  [/^\\[kpPcCRXKGHVzQE]/, "this escape does not exist in Python"],
  [/^\\N/, "character names \\N{...} cannot be used"],
  [/^[*+?}]\+/, "possessive quantifiers cannot be used"],
];

/**
 * Compiles a Python regular expression for use with `search` semantics (a match anywhere).
 *
 * Differences that remain: \w, \d, \s and \b know ASCII only, which is all that tensor names hold.
 *
 * @param pattern As it would be given to Python's `re.search`
 * @returns Without flags but those given at the start of the pattern as (?i), (?m), (?s)
 * @throws {SyntaxError} If it is not a pattern, or one that JavaScript would read differently
 */
export function pythonRegex(pattern: string): RegExp {
  let flags = "";
  const start = /^\(\?([ims]+)\)/.exec(pattern);
  if (start) flags = [...new Set(start[1])].join("");
  let source = "";
  for (let i = start ? start[0].length : 0; i < pattern.length;) {
    const rest = pattern.slice(i);
    for (const [refused, why] of REFUSED) {
      if (refused.test(rest)) throw new SyntaxError(`${why} (at character ${i + 1})`);
    }
    if (/^\(\?[ims]+\)/.test(rest)) {
      throw new SyntaxError(`flags must stand at the start (at character ${i + 1})`);
    }
    const [read, written] = rest[0] === "[" ? characterClass(rest, i) : token(rest);
    source += written;
    i += read;
  }
  return new RegExp(source, flags);
}

/** Translates what stands at the start of `rest`, outside of brackets: [length, translation]. */
function token(rest: string): [number, string] {
  const named = /^\(\?P<(\w+)>/.exec(rest);
  if (named) return [named[0].length, `(?<${named[1]}>`];
  const again = /^\(\?P=(\w+)\)/.exec(rest);
  if (again) return [again[0].length, `\\k<${again[1]}>`];
  if (rest.startsWith("\\A")) return [2, "(?<![^])"];
  if (rest.startsWith("\\Z")) return [2, "(?![^])"];
  if (rest.startsWith("\\a")) return [2, "\\x07"];
  if (rest.startsWith("\\")) return [2, rest.slice(0, 2)];
  return [1, rest[0]!];
}

/** Copies a bracket expression; a `]` that comes first in it is a plain character in Python. */
function characterClass(rest: string, offset: number): [number, string] {
  const [head] = /^\[\^?/.exec(rest)!;
  let written = head;
  for (let i = head.length; i < rest.length; i++) {
    const c = rest[i]!;
    if (c === "\\") {
      written += rest.startsWith("\\a", i) ? "\\x07" : rest.slice(i, i + 2);
      i++;
    } else if (c === "]" && i > head.length) {
      return [i + 1, written + "]"];
    } else {
      written += c === "]" ? "\\]" : c;
    }
  }
  throw new SyntaxError(`unterminated [ (at character ${offset + 1})`);
}
