/** Order between streams of the CUDA backend, when each runs as late as it may. @module */
import { assertEquals } from "@std/assert";
import { type Context, openContext, STREAMS } from "../../ffi/context.ts";
import { BACKENDS, isAvailable } from "../ops/check_op.ts";
import { setEmulation } from "../ops/emulation.ts";

const N = 5000, F32 = 0;
/** As streams are interleaved at random, each case is tried so often. */
const TRIES = 12;

function testLate(title: string, run: (context: Context, attempt: number) => void): void {
  for (const backend of BACKENDS.filter((name) => name !== "cpu")) {
    Deno.test({
      name: `${title} (${backend})`,
      ignore: !isAvailable(backend),
      fn: () => {
        const isEmulated = backend.startsWith("cudaemu");
        using context = openContext({ backend });
        if (isEmulated) setEmulation(backend, { order: 1, deferred: true });
        try {
          for (let i = 0; i < TRIES; i++) run(context, i);
        } finally {
          if (isEmulated) setEmulation(backend, { order: 0, deferred: false });
        }
      },
    });
  }
}

/** What a buffer holds, all of it the same number; else the first that differs. */
function numberIn(context: Context, from: Deno.PointerObject): number {
  const values = new Float32Array(N).fill(-1);
  context.download(values, from);
  return values.find((v) => v !== values[0]) ?? values[0]!;
}

/** What is enqueued from now on waits for what another stream holds now. */
function follow(context: Context, stream: number): void {
  const event = context.createEvent();
  context.recordEvent(event);
  context.selectStream(stream);
  context.waitEvent(event);
  context.destroyEvent(event);
}

testLate("a stream that waits for an event sees what came before it", (context, i) => {
  const x = context.alloc(N * 4), y = context.alloc(N * 4);
  context.fill(x, i, N, F32);
  follow(context, STREAMS.communication);
  context.copy(y, x, N * 4);
  follow(context, STREAMS.compute);
  context.scale(y, 2, N, F32);
  assertEquals(numberIn(context, y), 2 * i);
  context.free(x);
  context.free(y);
});

testLate("memory that another stream still uses is not given away", (context, i) => {
  const x = context.alloc(N * 4), y = context.alloc(N * 4);
  context.fill(x, i, N, F32);
  follow(context, STREAMS.copies);
  context.copy(y, x, N * 4);
  context.free(x); // on the host's word, while the copy is under way
  context.selectStream(STREAMS.compute);
  const z = context.alloc(N * 4);
  context.fill(z, -5, N, F32);
  context.synchronize();
  assertEquals(numberIn(context, y), i);
  context.free(y);
  context.free(z);
});

testLate("uploads take the values of the call, however many there are", (context, i) => {
  const length = 700_000; // three parts of the staging memory
  const values = Float32Array.from({ length }, (_, k) => k + i);
  const x = context.alloc(length * 4);
  context.upload(x, values);
  values.fill(-1);
  const found = new Float32Array(length);
  context.download(found, x);
  for (let k = 0; k < length; k += 1237) assertEquals(found[k], k + i);
  assertEquals(found[length - 1], length - 1 + i);
  context.free(x);
});

testLate("results are those of all streams once the device is done", (context, i) => {
  const x = context.alloc(N * 4);
  context.selectStream(STREAMS.copies);
  context.fill(x, i + 0.5, N, F32);
  assertEquals(numberIn(context, x), i + 0.5);
  context.selectStream(STREAMS.compute);
  context.free(x);
});
