import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { elements } from "../../src/formats/json_stream.ts";
import { JsonNumber, parseExact, parseJson } from "../../src/formats/json_exact.ts";

function withFile<T>(content: string | Uint8Array<ArrayBuffer>, use: (path: string) => T): T {
  const path = Deno.makeTempFileSync();
  try {
    if (typeof content === "string") Deno.writeTextFileSync(path, content);
    else Deno.writeFileSync(path, content);
    return use(path);
  } finally {
    Deno.removeSync(path);
  }
}

const read = (content: string | Uint8Array<ArrayBuffer>, blockBytes = 64, spanBytes = 256) =>
  withFile(content, (path) => [...elements(path, { blockBytes, spanBytes })]);

/** A small deterministic generator of awkward JSON values. */
function random(seed: number): (n: number) => number {
  let s = seed >>> 0;
  return (n) => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return (s >>> 8) % n;
  };
}
const STRINGS = ["", "a", '"', "\\", '\\"', "]}", ",", "\n", "\ufeff", "é", "中文", "😀", "\\\\"];
function value(next: (n: number) => number, depth: number): unknown {
  const kind = next(depth > 3 ? 5 : 7);
  if (kind === 0) return null;
  if (kind === 1) return next(2) === 0;
  if (kind === 2) return (next(20001) - 10000) / (next(3) ? 1 : 64);
  if (kind < 5) {
    return Array.from({ length: next(6) }, () => STRINGS[next(STRINGS.length)]).join("");
  }
  if (kind === 5) return Array.from({ length: next(4) }, () => value(next, depth + 1));
  return Object.fromEntries(
    Array.from(
      { length: next(4) },
      (_, i) => [`k${i}${STRINGS[next(STRINGS.length)]}`, value(next, depth + 1)],
    ),
  );
}

Deno.test("elements() equals JSON.parse on random arrays, whatever the block size", () => {
  const path = Deno.makeTempFileSync();
  for (let seed = 0; seed < 1500; seed++) {
    const next = random(seed);
    const list = Array.from({ length: next(6) }, () => value(next, 0));
    Deno.writeTextFileSync(path, JSON.stringify(list, null, next(3)));
    const got = [...elements(path, { blockBytes: 1 + next(40), spanBytes: 1 + next(99) })];
    assertEquals(got.map((e) => e.value), list);
    assertEquals(got.map((e) => e.index), list.map((_, i) => i));
  }
  Deno.removeSync(path);
});

Deno.test("elements() equals JSON.parse on random JSONL with blank lines and CRLF", () => {
  const path = Deno.makeTempFileSync();
  for (let seed = 0; seed < 500; seed++) {
    const next = random(seed);
    const list = Array.from({ length: 1 + next(6) }, () => ({ v: value(next, 0) }));
    const ends = ["\n", "\r\n", "\n\n", " \n"];
    Deno.writeTextFileSync(path, list.map((v) => JSON.stringify(v) + ends[next(4)]).join(""));
    const got = [...elements(path, { blockBytes: 1 + next(40), spanBytes: 1 + next(99) })];
    assertEquals(got.map((e) => e.value), list);
  }
  Deno.removeSync(path);
});

Deno.test("elements() tells line and bytes of each element", () => {
  const text = '[\n  {"a":\n 1},\n\n  2 , "é"]\n';
  const got = read(text, 4);
  assertEquals(got.map((e) => e.line), [2, 5, 5]);
  const utf8 = new TextEncoder().encode(text);
  const parts = got.map((e) => new TextDecoder().decode(utf8.subarray(...e.bytes)));
  assertEquals(parts, ['{"a":\n 1}', "2", '"é"']);
  assertEquals(read('\n{"a":1}\n\n  {"a":2}').map((e) => [e.line, e.bytes]), [
    [2, [1, 8]],
    [4, [12, 19]],
  ]);
});

Deno.test("elements() skips a byte order mark and keeps U+FEFF inside text", () => {
  const list = ["\ufeffa", "b\ufeff", "\ufeff", { "\ufeffk": "\ufeff\ufeff" }];
  for (const block of [1, 2, 3, 5, 64]) {
    assertEquals(read("\ufeff" + JSON.stringify(list), block).map((e) => e.value), list);
    const lines = list.map((x) => JSON.stringify(x)).join("\n");
    assertEquals(read("\ufeff" + lines, block).map((e) => e.value), list);
  }
});

Deno.test("elements() reads an empty file, an empty array and what Python writes for infinities", () => {
  assertEquals(read(""), []);
  assertEquals(read(" \n"), []);
  assertEquals(read("\ufeff"), []);
  assertEquals(read(" [ ] \n"), []);
  assertEquals(read('[{"a": NaN, "b": [-Infinity, Infinity]}]').map((e) => e.value), [
    { a: NaN, b: [-Infinity, Infinity] },
  ]);
});

Deno.test("elements() gives one element that is longer than block and span", () => {
  const long = { text: 'x"\\'.repeat(5000) };
  assertEquals(read(JSON.stringify([1, long, 2])).map((e) => e.value), [1, long, 2]);
});

Deno.test("elements() names element, line and byte of what is broken", () => {
  const cases: [string, string][] = [
    [
      '[{"a": 1},\n {"a": x}]',
      'element [1] of FILE (line 2, byte 18): expected a JSON value but found "x"',
    ],
    [
      '[{"a": 1}\n {"a": 2}]',
      "element [1] of FILE (line 2, byte 11): expected a comma before this",
    ],
    ["[1,,2]", "element [1] of FILE (line 1, byte 3): expected an element but found a comma"],
    ["[1,\n]", "element [1] of FILE (line 2, byte 4): a comma stands before the end"],
    ["[1] 2", "element [1] of FILE (line 1, byte 4): there is text after the end"],
    ["[1, 2", "element [1] of FILE (line 1, byte 4): the file ends inside this element"],
    ["[1, 2 ", 'element [2] of FILE (line 1, byte 6): the file ends before the "]"'],
    ['[1,\n{"a": "b}]', "element [1] of FILE (line 2, byte 4): the file ends inside this element"],
    [
      '{"a": 1}\n{"a": }\n',
      'element [1] of FILE (line 2, byte 15): expected a JSON value but found "}"',
    ],
    ['{"a": 1}\n{"a": "b\n', "element [1] of FILE (line 2, byte 17): expected a closing quote"],
    [
      '{\n "a": 1\n}\n',
      "element [0] of FILE (line 1, byte 1): expected a key in double quotes but",
    ],
    [
      '{"a": 1} {"a": 2}\n',
      'element [0] of FILE (line 1, byte 9): expected the end of the value but found "{"',
    ],
    ['[{"a":\n {"b": tru}}]', "element [0] of FILE (line 2, byte 14): expected a JSON value"],
    ['["\\x"]', "element [0] of FILE (line 1, byte 2): expected a valid escape"],
    ["<html>", 'Cannot read FILE: it must begin with "["'],
  ];
  for (const [text, message] of cases) {
    withFile(text, (path) => {
      const error = assertThrows(() => [...elements(path)], SyntaxError);
      assertStringIncludes(error.message, message.replace("FILE", path), text);
    });
  }
  const bytes = new Uint8Array([...'["ok", "é'].map((c) => c.charCodeAt(0)));
  withFile(new Uint8Array([...bytes, 34, 93]), (path) => {
    const error = assertThrows(() => [...elements(path)], SyntaxError);
    assertStringIncludes(
      error.message,
      "element [1] of " + path + " (line 1, byte 9): the text is not",
    );
  });
});

Deno.test("elements() keeps reading after a broken line is fixed: errors never swallow lines", () => {
  withFile('{"a": "never closed}\n{"a": 2}\n', (path) => {
    const error = assertThrows(() => [...elements(path)], SyntaxError);
    assertStringIncludes(error.message, "element [0]");
    assertStringIncludes(error.message, "line 1,");
  });
});

Deno.test("parseExact() keeps number texts and key order", () => {
  const text = '{"b": 3.0, "1": [3, 1e400, 9223372036854775808], "__proto__": "\\ud83d\\ude00"}';
  const map = parseExact(text) as Map<string, unknown>;
  assertEquals([...map.keys()], ["b", "1", "__proto__"]);
  assertEquals(map.get("b"), new JsonNumber("3.0"));
  assertEquals((map.get("1") as JsonNumber[]).map((n) => n.source), [
    "3",
    "1e400",
    "9223372036854775808",
  ]);
  assertEquals(map.get("__proto__"), "😀");
  for (
    const bad of ["01", "1.", ".5", "+1", "1e", "[1 2]", '{"a" 1}', "tru", '"\u0001"', "", "--1"]
  ) {
    assertThrows(() => parseExact(bad), SyntaxError);
  }
  assertThrows(() => parseExact("[".repeat(2000)), SyntaxError, "nested deeper");
});

Deno.test("parseJson() gives keys with escapes right where JSON.parse of V8 does not", () => {
  const tails = ["a", '"', "\\", '\\"', "\\\\", "\n", "\r", "\u0001"];
  for (const a of tails) {
    for (const b of tails) {
      for (const c of tails) {
        const value = [{ ["k" + a]: "\n", ["l" + b]: '"' }, {
          ["k" + a]: 0,
          ["l" + c]: { [c]: 1 },
        }];
        assertEquals(parseJson(JSON.stringify(value)), value);
        assertEquals(parseJson(JSON.stringify(value, null, 1)), value);
      }
    }
  }
});

Deno.test("elements() holds memory constant on a file much larger than a block", () => {
  const path = Deno.makeTempFileSync();
  const sample = new TextEncoder().encode(",\n" + JSON.stringify({ text: 'a "b" '.repeat(400) }));
  {
    using file = Deno.openSync(path, { write: true });
    file.writeSync(new TextEncoder().encode("[0"));
    for (let i = 0; i < 10000; i++) file.writeSync(sample);
    file.writeSync(new TextEncoder().encode("]"));
  }
  const before = Deno.memoryUsage().external;
  let count = 0, peak = 0;
  for (const _ of elements(path, { blockBytes: 1 << 20, spanBytes: 1 << 18 })) {
    if (++count % 500 === 0) peak = Math.max(peak, Deno.memoryUsage().external);
  }
  assertEquals(count, 10001);
  assert(peak - before < 6 << 20, `external memory rose by ${peak - before} bytes for 24 MB`);
  Deno.removeSync(path);
});
