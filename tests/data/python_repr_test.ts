import { assertEquals } from "@std/assert";
import { isBlank, pythonCall, pythonJson, pythonRepr } from "../../src/data/python_repr.ts";
import { type ExactJson, parseExact } from "../../src/formats/json_exact.ts";

// the right sides were printed by Python 3.11
const REPR: [string, string][] = [
  ["3", "3"],
  ["3.0", "3.0"],
  ["-0", "0"],
  ["-0.0", "-0.0"],
  ["1E5", "100000.0"],
  ["1e16", "1e+16"],
  ["123456789012345678", "123456789012345678"],
  ["9999999999999998.0", "9999999999999998.0"],
  ["1e-4", "0.0001"],
  ["0.00001", "1e-05"],
  ["1.5e-7", "1.5e-07"],
  ["1e400", "inf"],
  ["5e-324", "5e-324"],
  ["1.7976931348623157e308", "1.7976931348623157e+308"],
  ["NaN", "nan"],
  ["-Infinity", "-inf"],
  ["true", "True"],
  ["null", "None"],
  ['"it\'s"', `"it's"`],
  [`"it's \\"x\\""`, `'it\\'s "x"'`],
  [
    '"\\u0000\\u007f\\u00a0\\u00ad\\u200b\\u2028\\ud83d\\ude00\\ud800"',
    "'\\x00\\x7f\\xa0\\xad\\u200b\\u2028😀\\ud800'",
  ],
  ['"a\\\\b\\n\\t\\r"', "'a\\\\b\\n\\t\\r'"],
  ['{"b": [1, {}], "1": []}', "{'b': [1, {}], '1': []}"],
];

Deno.test("pythonRepr() writes what repr() writes", () => {
  for (const [json, repr] of REPR) assertEquals(pythonRepr(parseExact(json)), repr);
});

Deno.test("pythonCall() writes an infinite argument as 1e309 and a nested one as inf", () => {
  const params = parseExact('{"a": 1e400, "b": -1e400, "c": [1e400], "d": "inf"}');
  assertEquals(
    pythonCall(" f", params as Map<string, ExactJson>),
    "f(a=1e309, b=-1e309, c=[inf], d='inf')",
  );
});

Deno.test("pythonJson() writes what json.dumps(indent=2, ensure_ascii=False) writes", () => {
  const json =
    '{"a": [], "b": {}, "é": [1.0, {"x\\u0001\\u007f\\"": null}], "2": "\\n😀", "1": 1e400}';
  assertEquals(
    pythonJson(parseExact(json)),
    '{\n  "a": [],\n  "b": {},\n  "é": [\n    1.0,\n    {\n      "x\\u0001\u007f\\"": null\n    }\n' +
      '  ],\n  "2": "\\n😀",\n  "1": Infinity\n}',
  );
});

Deno.test("isBlank() is Python's idea of white space", () => {
  for (const blank of ["", " \n\t", "\u00a0\u3000", "\x1c\x85"]) assertEquals(isBlank(blank), true);
  for (const text of ["a", " .", "\ufeff", "\u200b"]) assertEquals(isBlank(text), false);
});
