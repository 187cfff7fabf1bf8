import { assertEquals, assertThrows } from "@std/assert";
import { Arena, Pool, UNBOUNDED } from "../../src/tensor/arena.ts";

Deno.test("arena: blocks are aligned, the peak survives a reset", () => {
  const arena = new Arena(UNBOUNDED);
  arena.tensor([3], "f32");
  const mark = arena.mark();
  arena.tensor([17], "bf16");
  assertEquals([mark, arena.mark()], [64, 128]);
  arena.reset(mark);
  assertEquals([arena.mark(), arena.peakBytes], [64, 128]);
});

Deno.test("arena: a request beyond the plan is an error, not an overflow", () => {
  const arena = new Arena({ ptr: null, bytes: 128 });
  arena.tensor([16], "f32");
  assertThrows(() => arena.tensor([17], "f32"), RangeError, "192 are needed");
});

Deno.test("pool: freed neighbours join and are used again", () => {
  const pool = new Pool(UNBOUNDED);
  const [a, b, c] = [1, 2, 3].map((n) => pool.acquire([16 * n], "f32"));
  pool.release(b);
  pool.release(a);
  pool.acquire([48], "f32"); // fits exactly where a and b were
  assertEquals(pool.peakBytes, 64 * 6);
  pool.release(c);
});

Deno.test("pool: a block lives until its last use ends", () => {
  const pool = new Pool({ ptr: null, bytes: 64 });
  const block = pool.retain(pool.acquire([16], "f32"));
  pool.release(block);
  assertThrows(() => pool.acquire([1], "f32"), RangeError, "workspace holds 64 bytes");
  pool.release(block);
  pool.acquire([16], "f32");
  assertThrows(() => pool.release(block), TypeError, "already released");
});

Deno.test("pool: a bounded pool of the planned peak serves the same requests", () => {
  const requests = (pool: Pool) => {
    let state = 12345;
    const random = (n: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % n;
    const live: ReturnType<Pool["acquire"]>[] = [];
    for (let i = 0; i < 500; i++) {
      if (live.length && random(2)) pool.release(live.splice(random(live.length), 1)[0]);
      else live.push(pool.acquire([1 + random(1000)], "f32"));
    }
  };
  const plan = new Pool(UNBOUNDED);
  requests(plan);
  const real = new Pool({ ptr: null, bytes: plan.peakBytes });
  requests(real);
  assertEquals(real.peakBytes, plan.peakBytes);
});
