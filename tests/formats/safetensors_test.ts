import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { FormatError } from "../../src/formats/format_error.ts";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";
import type { TensorData } from "../../src/formats/tensor_file.ts";

const FIXTURES = fromFileUrl(new URL("../fixtures/convert", import.meta.url));

/** What the message says about each file that must be refused. */
const REFUSED: Record<string, RegExp> = {
  "empty": /must have 8 bytes or more: it has 0/,
  "seven_bytes": /must have 8 bytes or more: it has 7/,
  "header_longer_than_file": /claims \d+ bytes of a file of \d+/,
  "header_length_huge": /at most 100000000 bytes: it claims 9223372036854775813/,
  "header_over_limit": /at most 100000000 bytes/,
  "header_not_json": /not JSON/,
  "header_nan": /not JSON/,
  "header_array": /must begin with "{"/,
  "header_invalid_utf8": /not UTF-8/,
  "header_starts_with_space": /must begin with "{"/,
  "overlapping": /"b" must begin where the tensor before it ends, at 12: current offset is 4/,
  "hole": /"b" must begin where the tensor before it ends, at 4: current offset is 12/,
  "starts_late": /"a" must begin where the tensor before it ends, at 0: current offset is 4/,
  "trailing_bytes": /must fill 16 bytes: their offsets end at 12/,
  "past_end": /must fill 16 bytes: their offsets end at 32/,
  "reversed_offsets": /"a" must have 16 bytes for F32 \[4\]: its data_offsets are \[16, 0\]/,
  "negative_offset": /"a" must have two data_offsets from 0: they are \[-16,0\]/,
  "wrong_dtype_size": /"a" must have 8 bytes for F16 \[4\]/,
  "wrong_shape_size": /"a" must have 20 bytes for F32 \[5\]/,
  "shape_overflow": /"a" must have a shape of whole sizes that fit a file/,
  "negative_shape": /"a" must have a shape of whole sizes/,
  "float_shape": /has the number 4.5, which is not a whole one/,
  "unknown_dtype": /"a" has the unknown dtype "F33"/,
  "missing_offsets": /"a" must have two data_offsets/,
  "duplicate_key": /has the key "a" twice/,
  "metadata_not_strings": /__metadata__ must hold only strings: n is 5/,
};

Deno.test("openSafetensors() refuses every broken file for the stated reason", () => {
  const files = [...Deno.readDirSync(join(FIXTURES, "broken"))]
    .map((entry) => entry.name).filter((name) => name.endsWith(".safetensors"));
  assertEquals(
    files.map((name) => name.replace(".safetensors", "")).sort(),
    Object.keys(REFUSED).sort(),
  );
  for (const name of files) {
    const error = assertThrows(() => openSafetensors(join(FIXTURES, "broken", name)), FormatError);
    const reason = REFUSED[name.replace(".safetensors", "")];
    assert(reason.test(error.message), `${name}: ${error.message}`);
  }
});

Deno.test("openSafetensors() reads all dtypes, padding and tensors out of order", () => {
  using expected = openSafetensors(join(FIXTURES, "readable", "expected.safetensors"));
  for (const name of ["all_dtypes.safetensors", "out_of_order.safetensors"]) {
    using file = openSafetensors(join(FIXTURES, "readable", name));
    const wanted = [...expected.tensors.keys()].filter((key) => key.startsWith(`${name}|`));
    assertEquals(
      [...file.tensors.keys()].map((tensor) => `${name}|${tensor}`).sort(),
      wanted.sort(),
    );
    for (const [tensor, { dtype, shape }] of file.tensors) {
      const key = `${name}|${tensor}`;
      assertEquals(shape, expected.tensors.get(key)!.shape);
      assertEquals(dtype, expected.tensors.get(key)!.dtype);
      assertEquals(file.read(tensor), expected.read(key));
    }
  }
});

Deno.test("openSafetensors() reads the free texts of the header", () => {
  using file = openSafetensors(join(FIXTURES, "readable", "all_dtypes.safetensors"));
  assertEquals(file.metadata, { format: "pt", note: "\u00e9" });
});

Deno.test("openSafetensors() refuses a key that an object has twice with equal values", () => {
  const tensor = '"a\\"":{"dtype":"U8","shape":[],"data_offsets":[0,1]}';
  withFile(`{${tensor},${tensor.replace("a", "\\u0061")}}`, 1, (path) => {
    assertThrows(() => openSafetensors(path), FormatError, "twice");
  });
});

Deno.test("openSafetensors() refuses numbers and keys that JSON has and the format has not", () => {
  const header = (shape: string, offsets: string, name = "a") =>
    `{"${name}":{"dtype":"U8","shape":[${shape}],"data_offsets":[${offsets}]}}`;
  const cases: [header: string, message: string][] = [
    [header("4.0", "0,4"), "has the number 4.0, which is not a whole one"],
    [header("4", "0,0.4e1"), "has the number 0.4e1, which is not a whole one"],
    [header("4", "-0,4"), "has the number -0, which is not a whole one"],
    [header("4", "0,4", "\\ud800"), 'has the key "\\ud800", which is no text'],
  ];
  for (const [header, message] of cases) {
    withFile(header, 4, (path) => {
      assertThrows(() => openSafetensors(path), FormatError, message);
    });
  }
  withFile(header("4", "0,4", "-1.5e"), 4, (path) => openSafetensors(path).close());
});

Deno.test("read() says how many bytes it needs and that a file became shorter", () => {
  withFile('{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', 4, (path) => {
    using file = openSafetensors(path);
    assertThrows(() => file.read("a", new Uint8Array(3)), RangeError, "into 3 bytes: it has 4");
    assertThrows(() => file.read("b"), RangeError, "no such tensor");
    Deno.truncateSync(path, 10);
    assertThrows(() => file.read("a"), FormatError, "ends at byte");
  });
});

Deno.test("writeSafetensors() writes what openSafetensors() reads, whatever the order", () => {
  const dir = Deno.makeTempDirSync();
  try {
    const tensors = [
      source("b", "BF16", [3], Uint8Array.of(1, 2, 3, 4, 5, 6)),
      source("wide", "I64", [], new Uint8Array(8).fill(7)),
      source("\u00fcn\u00ef", "BOOL", [1, 3], Uint8Array.of(1, 0, 1)),
      source("a", "BF16", [0, 2], new Uint8Array(0)),
    ];
    writeSafetensors(join(dir, "1"), tensors);
    writeSafetensors(join(dir, "2"), tensors.toReversed());
    const bytes = Deno.readFileSync(join(dir, "1"));
    assertEquals(bytes, Deno.readFileSync(join(dir, "2")));
    using file = openSafetensors(join(dir, "1"));
    assertEquals(file.metadata, { format: "pt" });
    assertEquals([...file.tensors.keys()], ["wide", "a", "b", "\u00fcn\u00ef"]);
    assertEquals(file.tensors.get("wide")!.begin % 8, 0);
    for (const { name, chunks, shape } of tensors) {
      assertEquals(file.read(name), [...chunks()][0]);
      assertEquals(file.tensors.get(name)!.shape, shape);
    }
    assertEquals([...Deno.readDirSync(dir)].length, 2);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("writeSafetensors() leaves nothing behind when a tensor yields too few bytes", () => {
  const dir = Deno.makeTempDirSync();
  try {
    const path = join(dir, "x.safetensors");
    const short = source("a", "F32", [2], new Uint8Array(4));
    assertThrows(() => writeSafetensors(path, [short]), RangeError, "its pieces end at");
    assertThrows(() => writeSafetensors(path, [short, short]), RangeError, "two tensors");
    assertEquals([...Deno.readDirSync(dir)], []);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("writeSafetensors() names the file and the cause when the system refuses", () => {
  const error = assertThrows(() => writeSafetensors("/proc/nowhere/x.safetensors", []), Error);
  assert(error.message.startsWith("Cannot write /proc/nowhere/x.safetensors"), error.message);
  assert(error.cause instanceof Deno.errors.NotFound);
});

function source(
  name: string,
  dtype: TensorData["dtype"],
  shape: number[],
  bytes: Uint8Array,
): TensorData {
  return { name, dtype, shape, chunks: () => [bytes] };
}

/** Runs `body` with a file of this header and `dataBytes` zeros. */
function withFile(header: string, dataBytes: number, body: (path: string) => void): void {
  const path = Deno.makeTempFileSync();
  try {
    const json = new TextEncoder().encode(header);
    const bytes = new Uint8Array(8 + json.length + dataBytes);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
    bytes.set(json, 8);
    Deno.writeFileSync(path, bytes);
    body(path);
  } finally {
    Deno.removeSync(path);
  }
}
