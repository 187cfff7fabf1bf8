import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { crc32 } from "node:zlib";
import { FormatError } from "../../src/formats/format_error.ts";
import { openSafetensors } from "../../src/formats/safetensors.ts";
import { openTorchFile } from "../../src/formats/torch_file.ts";

const FIXTURES = fromFileUrl(new URL("../fixtures/convert", import.meta.url));

const FORMATS = fromFileUrl(new URL("../fixtures/formats", import.meta.url));

/** What the message says about each file that must be refused. */
const REFUSED: Record<string, RegExp> = {
  "bare_pickle_runpy.bin": /asks for runpy.run_path/,
  "builtins_eval_protocol4.bin": /asks for builtins.eval/,
  "build_setstate.pt": /asks for argparse.Namespace/,
  "crc_mismatch.pt": /checksum of its entry archive\/data\/0/,
  "deep_nesting.pt": /must hold a dict of tensors/,
  "deflated_bomb.pt": /must be stored as it is/,
  "huge_numel.pt": /storage \w+ must fit a file: it has 2305843009213693952 elements/,
  "long_string_claim.pt": /claims \d+ bytes at byte \d+, beyond the end/,
  "missing_storage.pt": /has no entry archive\/data\/\w+/,
  "negative_offset.pt": /an offset from 0: it is -1/,
  "negative_size.pt": /sizes from 0: they are \[-1, 4\]/,
  "no_stop.pt": /claims 1 bytes at byte \d+, beyond the end/,
  "numpy_load.pt": /asks for numpy.load/,
  "offset_out_of_range.pt": /w must end inside its storage of 16 bytes: it ends at 28/,
  "os_system_zip.pt": /asks for posix.system/,
  "path_traversal_key.pt": /plain name: it is "..\/..\/..\/..\/etc\/passwd"/,
  "stack_underflow.pt": /takes from an empty stack/,
  "storage_too_short.pt": /data\/0 must have 400 bytes: it has 40/,
  "stride_out_of_range.pt": /w must end inside its storage of 16 bytes: it ends at 4000008/,
  "subprocess_legacy.bin": /asks for commands.check_output/,
  "torch_load_nested.pt": /asks for torch.serialization.load/,
  "truncated_small.pt": /zip directory is missing|neither a zip/,
  "truncated_zip.pt": /zip directory is missing/,
  "unknown_storage.pt": /asks for torch.EvilStorage/,
};

Deno.test("openTorchFile() refuses every broken file for the stated reason and runs nothing", () => {
  const files = [...Deno.readDirSync(join(FIXTURES, "broken"))]
    .map((entry) => entry.name).filter((name) => /\.(pt|bin)$/.test(name));
  assertEquals(files.sort(), Object.keys(REFUSED).sort());
  for (const name of files) {
    const error = assertThrows(() => readAll(join(FIXTURES, "broken", name)), FormatError);
    assert(REFUSED[name].test(error.message), `${name}: ${error.message}`);
  }
  for (const dir of [".", join(FIXTURES, "broken")]) {
    const names = [...Deno.readDirSync(dir)].map((entry) => entry.name);
    assert(!names.some((name) => name.includes("was-executed")));
  }
});

Deno.test("openTorchFile() reads all dtypes, views, Parameters and values in zip and old format", () => {
  using expected = openSafetensors(join(FIXTURES, "readable", "expected.safetensors"));
  const files = [...Deno.readDirSync(join(FIXTURES, "readable"))]
    .map((entry) => entry.name).filter((name) => name.endsWith(".bin"));
  assertEquals(files.length, 6);
  for (const name of files) {
    using file = openTorchFile(join(FIXTURES, "readable", name));
    const wanted = [...expected.tensors.keys()].filter((key) => key.startsWith(`${name}|`));
    assertEquals(
      [...file.tensors.keys()].map((tensor) => `${name}|${tensor}`).sort(),
      wanted.sort(),
    );
    for (const [tensor, { dtype, shape }] of file.tensors) {
      const key = `${name}|${tensor}`;
      assertEquals(shape, expected.tensors.get(key)!.shape, key);
      assertEquals(dtype, expected.tensors.get(key)!.dtype, key);
      assertEquals(file.read(tensor), expected.read(key), key);
    }
  }
});

Deno.test("openTorchFile() reads a range of a tensor, whatever its strides", () => {
  for (const name of ["shared_views.bin", "shared_views_legacy.bin", "all_dtypes.bin"]) {
    using file = openTorchFile(join(FIXTURES, "readable", name));
    for (const [tensor, { byteLength }] of file.tensors) {
      const range = { begin: Math.floor(byteLength / 3), end: Math.ceil(byteLength / 2) };
      const pieces = [...file.chunks(tensor, range)].map((piece) => [...piece]);
      const wanted = file.read(tensor).subarray(range.begin, range.end);
      assertEquals(pieces.flat(), [...wanted], `${name} ${tensor}`);
    }
  }
});

Deno.test("openTorchFile() refuses by name what is no plain tensor or of a type that files lack", () => {
  const reasons = {
    complex128: /asks for torch.ComplexDoubleStorage/,
    conjugated: /must have the values that are stored: it has the flag conj/,
    loss_scaler: /asks for deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler/,
    float8_fnuz: /asks for torch.float8_e4m3fnuz/,
    meta: /asks for torch._utils._rebuild_meta_tensor_no_storage/,
    negated: /must have the values that are stored: it has the flag neg/,
    quantized: /asks for torch._utils._rebuild_qtensor/,
    sparse: /asks for torch._utils._rebuild_sparse_tensor/,
    subclass: /asks for __main__.Sub/,
  };
  for (const [name, reason] of Object.entries(reasons)) {
    const path = join(FORMATS, "refused", `${name}.pt`);
    const error = assertThrows(() => openTorchFile(path), FormatError);
    assert(reason.test(error.message), error.message);
  }
});

Deno.test("openTorchFile() reads tensors past the other values that torch.load(weights_only=True) takes", () => {
  for (const suffix of ["", "_legacy", "_protocol4"]) {
    using file = openTorchFile(join(FORMATS, `beside_tensors${suffix}.pt`));
    const found = [...file.tensors].map(([name, { dtype, shape }]) =>
      `${name} ${dtype} [${shape}] ${file.read(name)}`
    );
    assertEquals(found, [
      "w BF16 [2,3] 0,0,128,63,0,64,64,64,128,64,160,64",
      "p F32 [2] 0,0,128,63,0,0,0,64", // a Parameter with attributes
      "t I32 [2] 3,0,0,0,4,0,0,0", // a Tensor with attributes
      "plain F32 [1] 0,0,160,64",
    ]);
  }
});

Deno.test("openTorchFile() reads types that have no storage class of their own", () => {
  using file = openTorchFile(join(FORMATS, "untyped_storages.pt"));
  const found = [...file.tensors].map(([name, { dtype, shape }]) =>
    `${name} ${dtype} [${shape}] ${file.read(name)}`
  );
  assertEquals(found, [
    "u16 U16 [2,3] 0,0,1,0,2,0,3,0,4,0,5,0",
    "f8 F8_E4M3 [4] 56,56,56,56",
    "u64 U64 [3] 0,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0,2,0,0,0,0,0,0,0",
    "c C64 [2] 0,0,128,63,0,0,0,0,0,0,128,63,0,0,0,0",
  ]);
});

Deno.test("openTorchFile() reads archives whose writer computed no checksums", () => {
  using file = openTorchFile(join(FORMATS, "no_checksums.pt"));
  const w = new Float32Array(file.read("w").slice().buffer);
  assertEquals(w, Float32Array.from({ length: 1000 }, (_, i) => i));
  assertEquals(new Float32Array(file.read("v").slice().buffer), new Float32Array(9).fill(1));
});

Deno.test("openTorchFile() reads zip64 archives and refuses entries beyond the file", () => {
  const pickle = tensorPickle([2, 3]);
  const data = Uint8Array.from({ length: 24 }, (_, i) => i);
  const entries = { "x/data.pkl": pickle, "x/byteorder": text("little"), "x/data/0": data };
  withFile(zip64(entries), (path) => {
    using file = openTorchFile(path);
    assertEquals(file.read("w"), data);
    assertEquals(file.tensors.get("w")!.shape, [2, 3]);
  });
  withFile(zip64(entries, 1000), (path) => {
    assertThrows(() => openTorchFile(path), FormatError, "beyond the file");
  });
  withFile(zip64({ ...entries, "x/byteorder": text("big") }), (path) => {
    assertThrows(() => openTorchFile(path), FormatError, "byte order must be little: it is big");
  });
  withFile(zip64({ ...entries, "y/data.pkl": pickle }), (path) => {
    assertThrows(() => openTorchFile(path), FormatError, "must hold one data.pkl: it holds 2");
  });
});

Deno.test("openTorchFile() refuses a view that repeats a small storage beyond the file's size", () => {
  const pickle = tensorPickle([1 << 20, 1 << 20], [0, 0]);
  withFile(zip64({ "x/data.pkl": pickle, "x/data/0": new Uint8Array(24) }), (path) => {
    assertThrows(() => openTorchFile(path), FormatError, "repeats itself to 4398046511104 bytes");
  });
});

Deno.test("openTorchFile() refuses more than 64 dimensions", () => {
  const shape = (dimensions: number) => new Array<number>(dimensions).fill(1);
  const opened = (dimensions: number) => {
    const pickle = tensorPickle(shape(dimensions), shape(dimensions));
    withFile(zip64({ "x/data.pkl": pickle, "x/data/0": new Uint8Array(24) }), (path) => {
      readAll(path);
    });
  };
  opened(64);
  assertThrows(() => opened(65), FormatError, "at most 64 dimensions: it has 65");
});

Deno.test("openTorchFile() never walks the lists of a pickle to tell what is wrong with them", () => {
  const laughs = "]q\0" + Array.from({ length: 60 }, (_, i) => {
    const [list, next] = [i, i + 1].map((n) => String.fromCharCode(n));
    return `(h${list}h${list}lq${next}`;
  }).join(""); // 2^60 lists in all, by the last of which h60 asks
  const lists = "h\x3c";
  const string = (value: string) => `\x8c${String.fromCharCode(value.length)}${value}`;
  const storage = (key: string, elements: string) =>
    `(${string("storage")}ctorch\nFloatStorage\n${key}${string("cpu")}${elements}tQ`;
  const tensor = (offset: string, flags: string) =>
    `ctorch._utils\n_rebuild_tensor_v2\n(${storage(string("0"), "K\x04")}${offset}` +
    `(K\x04t(K\x01tNN${flags}tR`;
  const cases: [code: string, message: string][] = [
    [`${lists}${string("x")}\x93`, "asks for what has no name"],
    [storage(lists, "K\x04"), "must have a plain name: it is a list"],
    [storage("\x8a\x09".padEnd(11, "\xff"), "K\x04"), "must have a plain name: it is -1"],
    [storage(string("0"), lists), "it has a list elements"],
    [tensor(lists, ""), "an offset from 0: it is a list"],
    [tensor("K\0", `}${lists}Ns`), "it has the flag a list"],
  ];
  const bytes = (code: string) => Uint8Array.from(code, (letter) => letter.charCodeAt(0));
  for (const [code, message] of cases) {
    withFile(zip64({ "x/data.pkl": bytes(`\x80\x02${laughs}${code}.`) }), (path) => {
      assertThrows(() => openTorchFile(path), FormatError, message);
    });
  }
  const magic = "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
  withFile(bytes(`${magic}\x80\x02${laughs}.`), (path) => {
    assertThrows(() => openTorchFile(path), FormatError, "version must be 1001: it is a list");
  });
});

function readAll(path: string): void {
  using file = openTorchFile(path);
  for (const name of file.tensors.keys()) file.read(name);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** `{"w": tensor}`: a view of six f32 in storage 0. */
function tensorPickle(shape: number[], strides: number[] = [3, 1]): Uint8Array {
  const integer = (n: number) => {
    const bytes = new Uint8Array(5);
    bytes[0] = "J".charCodeAt(0);
    new DataView(bytes.buffer).setInt32(1, n, true);
    return String.fromCharCode(...bytes);
  };
  const string = (value: string) => `\x8c${String.fromCharCode(value.length)}${value}`;
  const tuple = (...items: string[]) => `(${items.join("")}t`;
  const storage = tuple(
    ...[string("storage"), "ctorch\nFloatStorage\n", string("0"), string("cpu"), integer(6)],
  );
  const call = tuple(
    ...[`${storage}Q`, integer(0), tuple(...shape.map(integer)), tuple(...strides.map(integer))],
  );
  const code = `\x80\x02}${string("w")}ctorch._utils\n_rebuild_tensor_v2\n${call}Rs.`;
  return Uint8Array.from(code, (character) => character.charCodeAt(0));
}

/** An archive of stored entries whose sizes and places stand in zip64 fields. */
function zip64(entries: Record<string, Uint8Array>, shift = 0): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  const add = (part: Uint8Array) => {
    parts.push(part);
    at += part.length;
  };
  for (const [name, data] of Object.entries(entries)) {
    const header = at;
    add(record(30, { 0: 0x04034b50, 26: name.length | 0 }));
    add(text(name));
    add(data);
    const central = record(46, {
      0: 0x02014b50,
      16: crc32(data),
      20: 0xffffffff,
      24: 0xffffffff,
      28: name.length | 28 << 16,
      42: 0xffffffff,
    });
    const extra = record(28, {
      0: 1 | 24 << 16,
      4: data.length,
      12: data.length,
      20: header + shift,
    });
    directory.push(central, text(name), extra);
  }
  const begin = at;
  for (const part of directory) add(part);
  const count = Object.keys(entries).length;
  const end = at;
  add(record(56, { 0: 0x06064b50, 24: count, 32: count, 40: end - begin, 48: begin }));
  add(record(20, { 0: 0x07064b50, 8: end }));
  add(record(22, { 0: 0x06054b50, 8: 0xffffffff, 12: 0xffffffff, 16: 0xffffffff }));
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Zero bytes with 4-byte numbers at some places. */
function record(bytes: number, fields: Record<number, number>): Uint8Array {
  const view = new DataView(new ArrayBuffer(bytes));
  for (const [at, value] of Object.entries(fields)) view.setUint32(Number(at), value >>> 0, true);
  return new Uint8Array(view.buffer);
}

function withFile(bytes: Uint8Array, body: (path: string) => void): void {
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, bytes);
    body(path);
  } finally {
    Deno.removeSync(path);
  }
}
