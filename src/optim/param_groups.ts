/** Which parameters decay. @module */
import { pythonRegex } from "../config/python_regex.ts";

/**
 * Makes the rule of `no_wd_kws`: a parameter whose name matches any pattern anywhere (Python's
 * `re.search`) does not decay. Names are those inside the pipeline, the layer first, such as
 * "1.self_attn.q_proj.weight", or "tied_modules.embed.norm.weight" where embedding and head are tied;
 * embeddings and heads decay unless a pattern says otherwise.
 *
 * @param patterns Python regular expressions
 * @returns Whether weight decay applies to the parameter of a name
 * @throws {SyntaxError} If a pattern is not one that can be used
 */
export function decayRule(patterns: readonly string[]): (name: string) => boolean {
  const compiled = patterns.map(pythonRegex);
  return (name) => !compiled.some((pattern) => pattern.test(name));
}
