import { assertEquals, assertThrows } from "@std/assert";
import { pythonRegex } from "../../src/config/python_regex.ts";

Deno.test("pythonRegex() searches as Python's re does", () => {
  const cases: [string, string, boolean][] = [
    ["bias", "1.q_proj.bias", true],
    ["[a-zA-Z]*norm", "3.input_layernorm.weight", true],
    ["norm$", "3.norm", true],
    ["^norm", "3.norm", false],
    [r`\Anorm`, "3.norm", false],
    [r`norm\Z`, "3.norm", true],
    [r`^\d+\.norm`, "12.norm.weight", true],
    ["(?i)NORM", "3.norm", true],
    ["(?P<x>a)(?P=x)", "aa", true],
    ["(?P<x>a)(?P=x)", "ab", false],
    ["(?:q|k)_proj", "1.k_proj", true],
    ["(?<=q)_proj", "1.q_proj", true],
    ["(?<!q)_proj", "1.q_proj", false],
    ["[]a]", "]", true],
    ["[^]a]", "]", false],
    ["[[]", "[", true],
    [r`[\]]`, "]", true],
    ["a{2}", "aa", true],
    ["", "anything", true],
  ];
  for (const [pattern, name, expected] of cases) {
    assertEquals(pythonRegex(pattern).test(name), expected, `${pattern} on ${name}`);
  }
});

Deno.test("pythonRegex() refuses what JavaScript cannot do or would read differently", () => {
  const cases: [string, string][] = [
    ["(", "Unterminated group"],
    ["a)", "Unmatched"],
    ["*a", "Nothing to repeat"],
    ["[a", "unterminated [ (at character 1)"],
    ["x[]", "unterminated [ (at character 2)"],
    ["(?<x>a)", "write (?P<name>...) (at character 1)"],
    ["a(?>b)", "atomic groups (?>...) cannot be used (at character 2)"],
    ["(a)(?(1)b)", "conditions (?(1)...) cannot be used (at character 4)"],
    ["(?#x)", "comments (?#...) cannot be used"],
    ["(?x)a b", "the flags a, L, u and x cannot be used"],
    ["a(?i)b", "flags must stand at the start (at character 2)"],
    ["a++", "possessive quantifiers cannot be used (at character 2)"],
    [r`\p{L}`, "this escape does not exist in Python"],
    [r`\N{DASH}`, "character names"],
  ];
  for (const [pattern, part] of cases) {
    assertThrows(() => pythonRegex(pattern), SyntaxError, part, pattern);
  }
});

function r(strings: TemplateStringsArray): string {
  return strings.raw[0]!;
}
