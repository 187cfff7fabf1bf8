import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { gunzipSync } from "node:zlib";
import { parseExact, plainWithFloats } from "../../src/formats/json_exact.ts";
import { compileTemplate } from "../../src/tokenizer/chat/python_interpreter.ts";
import { GENERATED } from "../../src/tokenizer/chat/template_source.ts";
import { fromJson } from "../../src/tokenizer/chat/python_values.ts";

const FIXTURES = fromFileUrl(new URL("../fixtures/chat/jinja2", import.meta.url));
const read = (file: string) => Deno.readFileSync(join(FIXTURES, file));
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const VARIABLES = plainWithFloats(parseExact(decode(read("variables.json")))) as object;

function render(template: string): string {
  const variables = Object.entries(VARIABLES).map(([name, value]) =>
    [name, fromJson(value)] as const
  );
  return compileTemplate(template, new Map([[GENERATED, (text) => text]]))(variables);
}

/** Broken templates whose broken part is not reached: their text is what stands around it. */
const NOT_SEEN = [
  "{% for x in l %}{% macro q() %}{% break %}{% endmacro %}{% endfor %}",
  "{% for x in l if fa else ls %}{{ x }}{% endfor %}",
];

/** Every template gives the text that Python gives, or is refused. */
function compareWithPython(lines: string): void {
  for (const line of lines.trim().split("\n")) {
    const [template, text, refused] = JSON.parse(line) as [string, string | null, "refused"?];
    if (NOT_SEEN.includes(template)) continue;
    if (text === null || refused) assertThrows(() => render(template), Error, undefined, template);
    else assertEquals(render(template), text, template);
  }
}

Deno.test("templates written by hand give what Jinja2 gives, or are refused", () => {
  compareWithPython(decode(read("templates.jsonl")));
});

Deno.test("tags in tags with any white space give what Jinja2 gives", () => {
  compareWithPython(decode(gunzipSync(read("blocks.jsonl.gz"))));
});

Deno.test("expressions made from tables give what Jinja2 gives, or are refused", () => {
  compareWithPython(decode(gunzipSync(read("expressions.jsonl.gz"))));
});

Deno.test("what Jinja2 has and llmpipe has not is refused by its name", () => {
  const refused: [template: string, named: string][] = [
    ["{% with a = 1 %}{% endwith %}", "with"],
    ["{% block a %}x{% endblock %}", "block"],
    ["{% include 'x' %}", "include"],
    ["{{ 1 < i < 3 }}", "a chain of comparisons"],
    ["{{ 1e3 }}", "the number 1e3"],
    ["{{ 1_000 }}", "the number 1_000"],
    ["{{ joiner() }}", "the function joiner"],
    ["{{ cycler(1) }}", "the function cycler"],
    ["{{ lipsum() }}", "the function lipsum"],
    ["{{ m|groupby('role') }}", "the filter groupby is not supported"],
    ["{{ s|wordwrap }}", "the filter wordwrap is not supported"],
    ["{{ s|nosuch }}", "the filter nosuch is not known"],
    ["{{ s.swapcase() }}", "the method swapcase of str"],
    ["{{ s.upper }}", "upper of a value of type string"],
    ["{{ d.items }}", "items of a value of type object"],
    ["{{ l.append(1) }}", "append of a value of type array"],
    ["{{ (s|safe) * 2 }}", "marked as safe"],
    ["{{ l|map('upper') }}", "generator"],
    ["{{ '%e' % f }}", "the format %e"],
    ["{{ 9007199254740991 + 1 }}", "integers beyond 2**53"],
    ["{{ {none: 2} }}", "null as the key of a dict"],
    ["{{ '\\N{BULLET}' }}", "the escape \\N"],
    ["{{ i is odd is true }}", "needs parentheses"],
    ["{{ i '' }}", 'cannot read "" here'],
    ["{% break %}", "break or continue outside of a loop"],
    [
      "a\n{% for x in l recursive %}{% endfor %}",
      "line 2, {% for x in l recursive %}: a recursive loop",
    ],
    ["\n\n{{ (1,) }}", 'line 3, {{ (1,) }}: cannot read ")" here'],
    ["a\n{% if l %}", "line 2, {% if l %}: the template ends before the block does"],
    ["{% raw %}", "line 1, {% raw %}: the raw block has no end"],
    ["{% for x in l %}\n{{ x }}\n{{ x|nosuch }}{% endfor %}", "line 3, {{ x|nosuch }}: "],
    [
      "{% macro f() %}\n{{ i }}{% endmacro %}\n{{ f() ~ s.swapcase() }}",
      "line 3, {{ f() ~ s.swapcase() }}: ",
    ],
  ];
  for (const [template, named] of refused) {
    assertStringIncludes(assertThrows(() => render(template), Error).message, named, template);
  }
});
