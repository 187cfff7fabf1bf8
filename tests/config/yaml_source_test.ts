import { assertEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../../src/config/config_error.ts";
import { parseYaml } from "../../src/config/yaml_source.ts";

/** Places in a text: "path key value", one for each path. */
function places(text: string, paths: string[]): string[] {
  const source = parseYaml(text, "x.yml");
  return paths.map((path) => `${path} ${source.keyPlace(path)} ${source.valuePlace(path)}`);
}

Deno.test("parseYaml() knows where block mappings and their values stand", () => {
  const text = `\
# a comment
a: 1
b: # another
    c:   two
    "d e": 'x # no comment'

    # deep
    f:
      g: |
        text: not a key
      h:
`;
  assertEquals(places(text, ["a", "b", "b.c", "b.d e", "b.f", "b.f.g", "b.f.h", "b.z"]), [
    "a 2:1 2:4",
    "b 3:1 4:5",
    "b.c 4:5 4:10",
    "b.d e 5:5 5:12",
    "b.f 8:5 9:7",
    "b.f.g 9:7 9:10",
    "b.f.h 11:7 11:7",
    "b.z undefined undefined",
  ]);
});

Deno.test("parseYaml() knows where flow style and list items stand", () => {
  const text = `\
topo: {axes: [pipe,
    data], dims: [ 8 , 1 ], e: , "f":1}
list:
- 5
-   k: 1
    l: [[2], {m: 3}]
`;
  const paths = [
    "topo",
    "topo.axes",
    "topo.axes.1",
    "topo.dims.0",
    "topo.dims.1",
    "topo.e",
    "topo.f",
  ];
  assertEquals(places(text, paths), [
    "topo 1:1 1:7",
    "topo.axes 1:8 1:14",
    "topo.axes.1 undefined 2:5",
    "topo.dims.0 undefined 2:20",
    "topo.dims.1 undefined 2:24",
    "topo.e 2:29 2:29",
    "topo.f 2:34 2:38",
  ]);
  assertEquals(places(text, ["list.0", "list.1", "list.1.k", "list.1.l.0.0", "list.1.l.1.m"]), [
    "list.0 undefined 4:3",
    "list.1 undefined 5:5",
    "list.1.k 5:5 5:8",
    "list.1.l.0.0 undefined 6:10",
    "list.1.l.1.m 6:15 6:18",
  ]);
});

Deno.test("parseYaml() reads JSON, byte order marks, CRLF, aliases and merges", () => {
  assertEquals(places('{\n  "a": {"b": 1}\n}', ["a.b"]), ["a.b 2:9 2:14"]);
  assertEquals(places("\ufeffa: 1\r\nb: 2\r\n", ["a", "b"]), ["a 1:1 1:4", "b 2:1 2:4"]);
  const text = "x: &x {a: 1}\ny: *x\nz:\n  <<: *x\n  b: 2\n";
  assertEquals(parseYaml(text, "").value, { x: { a: 1 }, y: { a: 1 }, z: { a: 1, b: 2 } });
  assertEquals(places(text, ["y", "y.a", "z.a", "z.b"]), [
    "y 2:1 2:4",
    "y.a undefined undefined",
    "z.a undefined undefined",
    "z.b 5:3 5:6",
  ]);
});

Deno.test("parseYaml() places every key of a file where the file has it", () => {
  const path = new URL("../../configs/ds_config_pp.yml", import.meta.url);
  const text = Deno.readTextFileSync(path);
  const source = parseYaml(text, "");
  const lines = text.split("\n");
  const visit = (value: unknown, path: string) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return;
    for (const [key, child] of Object.entries(value)) {
      const at = path ? `${path}.${key}` : key;
      const [line, column] = source.keyPlace(at)!.split(":").map(Number) as [number, number];
      assertEquals(lines[line - 1]!.slice(column - 1, column + key.length), `${key}:`, at);
      visit(child, at);
    }
  };
  visit(source.value, "");
});

Deno.test("parseYaml() says where YAML is broken", () => {
  const cases: [string, string][] = [
    ["a: 1\na: 2\n", "Cannot parse YAML: duplicated mapping key (x.yml:2:1)"],
    [
      "a:\n\tb: 1\n",
      "Cannot parse YAML: tab characters must not be used in indentation (x.yml:2:1)",
    ],
    ["a: [1, 2\nb: 3\n", "x.yml:2:"],
    ["a: 'x\n", "Cannot parse YAML: unexpected end of the stream within a single quoted scalar"],
    ["a: b: c\n", "x.yml:1:5"],
    ["a: 1\n---\nb: 1\n", "Cannot parse YAML: expected a single document in the stream"],
    ["a: !!python/tuple [1]\n", "Cannot parse YAML: unknown tag"],
    ["a: *x\n", 'Cannot parse YAML: unidentified alias "x" (x.yml:1:6)'],
  ];
  for (const [text, part] of cases) {
    assertThrows(() => parseYaml(text, "x.yml"), ConfigError, part, text);
  }
});
