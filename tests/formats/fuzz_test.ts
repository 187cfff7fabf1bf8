import { assert } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { FormatError } from "../../src/formats/format_error.ts";
import { openTensorFile } from "../../src/formats/open_tensor_file.ts";
import { mulberry32, mutate } from "./mutate.ts";

const FIXTURES = fromFileUrl(new URL("../fixtures/convert", import.meta.url));

/** Windows and tails that are read whatever a file claims. */
const ALWAYS_BYTES = 128 << 10;

/** Mutations of a file; fewer of the large ones, which are slow to read. */
const ROUNDS = { small: 25, large: 4 };

Deno.test("mutated and truncated files are read or refused, with no more memory than their size", () => {
  const random = mulberry32(20260801);
  const path = Deno.makeTempFileSync();
  const counts = { read: 0, refused: 0 };
  try {
    for (const folder of ["readable", "broken"]) {
      for (const { name, isFile } of Deno.readDirSync(join(FIXTURES, folder))) {
        if (!isFile || !/\.(safetensors|bin|pt)$/.test(name)) continue;
        const original = Deno.readFileSync(join(FIXTURES, folder, name));
        const suffix = name.endsWith(".safetensors") ? ".safetensors" : ".pt";
        const rounds = original.length < 50_000 ? ROUNDS.small : ROUNDS.large;
        for (let round = 0; round < rounds; round++) {
          const bytes = mutate(original, random);
          Deno.writeFileSync(path + suffix, bytes);
          const { outcome, largest } = watchAllocations(() => readAll(path + suffix));
          const limit = Math.max(bytes.length, ALWAYS_BYTES);
          assert(largest <= limit, `${name}, round ${round}: took ${largest} bytes of ${limit}`);
          if (outcome === undefined) counts.read++;
          else if (outcome instanceof FormatError) counts.refused++;
          else throw new Error(`${name}, round ${round}`, { cause: outcome });
        }
        Deno.removeSync(path + suffix);
      }
    }
  } finally {
    Deno.removeSync(path);
  }
  assert(counts.read > 20 && counts.refused > 1000, JSON.stringify(counts));
});

function readAll(path: string): void {
  using file = openTensorFile(path);
  for (const [name, { byteLength }] of file.tensors) {
    let read = 0;
    for (const chunk of file.chunks(name)) read += chunk.length;
    assert(read === byteLength);
  }
}

/** Runs `body` and notes the largest array that it made, and what it threw. */
function watchAllocations(body: () => void): { outcome: unknown; largest: number } {
  let largest = 0;
  let outcome: unknown;
  const { Uint8Array: Original } = globalThis;
  globalThis.Uint8Array = new Proxy(Original, {
    construct(target, args) {
      if (typeof args[0] === "number") largest = Math.max(largest, args[0]);
      return Reflect.construct(target, args);
    },
  });
  try {
    body();
  } catch (error) {
    outcome = error;
  } finally {
    globalThis.Uint8Array = Original;
  }
  return { outcome, largest };
}
