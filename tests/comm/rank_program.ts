/** A rank for the tests of communication: runs one scenario, checks what it receives. @module */
import { assert, assertEquals } from "@std/assert";
import { type Context, openContext } from "../../ffi/context.ts";
import type { Backend } from "../../ffi/library.ts";
import { type Block, Communicator } from "../../src/comm/communicator.ts";
import { GroupSet } from "../../src/comm/groups.ts";
import { runRank } from "../../src/comm/rank_run.ts";
import type { RendezvousClient } from "../../src/comm/rendezvous_client.ts";
import {
  expectedReduction,
  input,
  ROUNDERS,
  SEVERAL_SEGMENTS,
  SIZES,
  type Storage,
  STORAGES,
} from "./values.ts";

const MB = 1 << 20;
const [scenario, backend = "cpu"] = Deno.args as [string, Backend?];

/** Device memory with the values of a host array. */
function block(
  context: Context,
  values: ArrayBufferView<ArrayBuffer> & { length: number },
  code = 0,
): Block {
  const bytes = values.byteLength;
  const ptr = context.alloc(Math.max(1, bytes));
  if (bytes > 0) context.upload(ptr, values);
  return { ptr, size: values.length, bytes, code };
}

function read<T extends ArrayBufferView<ArrayBuffer>>(context: Context, from: Block, into: T): T {
  if (from.bytes > 0) context.download(into, from.ptr);
  return into;
}

/** Every collective, on sizes below and above the limits between its ways. */
function collectives(context: Context, group: Communicator): void {
  const { rank, size } = group;
  for (const storage of STORAGES) {
    for (const n of SIZES) {
      for (const reduction of ["sum", "max"] as const) {
        allReduce(context, group, storage, n, reduction);
        reduceScatter(context, group, storage, n, reduction);
      }
    }
  }
  allReduce(context, group, "f64", SEVERAL_SEGMENTS.allReduce, "sum");
  reduceScatter(context, group, "f64", SEVERAL_SEGMENTS.reduceScatter, "sum");
  for (const n of [0, 1, 7, 10_003]) {
    const mine = Int32Array.from({ length: n }, (_, i) => i * 10 + rank);
    const all = block(context, new Int32Array(n * size));
    group.allGather(block(context, mine), all);
    const expected = Int32Array.from(
      { length: n * size },
      (_, i) => (i % n) * 10 + Math.floor(i / n),
    );
    assertEquals(read(context, all, new Int32Array(n * size)), expected);

    const parts = Int32Array.from({ length: n * size }, (_, i) => i + 1e6 * rank);
    const received = block(context, new Int32Array(n * size));
    group.allToAll(block(context, parts), received);
    const exchanged = Int32Array.from(
      { length: n * size },
      (_, i) => rank * n + (i % n) + 1e6 * Math.floor(i / n),
    );
    assertEquals(read(context, received, new Int32Array(n * size)), exchanged);

    for (let root = 0; root < size; root++) {
      const x = block(context, new Int32Array(n).fill(rank === root ? 7 + root : -1));
      group.broadcast(x, root);
      assertEquals(read(context, x, new Int32Array(n)), new Int32Array(n).fill(7 + root));
    }
    group.barrier();
  }
  assertEquals(group.reduceNumbers([rank + 0.5, 1]), [size * size / 2, size]);
  assertEquals(group.reduceNumbers([rank, 5 - rank], "max"), [size - 1, 5]);
  gatherInPlace(context, group);
}

function allReduce(
  context: Context,
  group: Communicator,
  storage: Storage,
  n: number,
  reduction: "sum" | "max",
) {
  const { rank, size } = group;
  const { array, code } = ROUNDERS[storage];
  const x = block(context, input(storage, rank, n), code);
  group.allReduce(x, reduction);
  const expected = expectedReduction(storage, size, n, reduction);
  assertSame(read(context, x, new array(n)), expected, `allReduce ${storage} ${n} ${reduction}`);
}

function reduceScatter(
  context: Context,
  group: Communicator,
  storage: Storage,
  n: number,
  reduction: "sum" | "max",
) {
  const { rank, size } = group;
  const { array, code } = ROUNDERS[storage];
  const x = block(context, input(storage, rank, n * size), code);
  const y = block(context, new array(n), code);
  group.reduceScatter(x, y, reduction);
  const expected = expectedReduction(storage, size, n * size, reduction).slice(
    rank * n,
    rank * n + n,
  );
  assertSame(
    read(context, y, new array(n)),
    expected,
    `reduceScatter ${storage} ${n} ${reduction}`,
  );
}

/** Bit for bit; assertEquals is too slow for millions of elements. */
function assertSame(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  assertEquals(actual.length, expected.length);
  for (let i = 0; i < actual.length; i++) {
    if (!Object.is(actual[i], expected[i])) assertEquals(actual[i], expected[i], `${what} at ${i}`);
  }
}

function gatherInPlace(context: Context, group: Communicator): void {
  const { rank, size } = group;
  const n = 1000;
  const all = new Int32Array(n * size);
  all.fill(rank, rank * n, rank * n + n);
  const y = block(context, all);
  const ptr = Deno.UnsafePointer.offset(y.ptr!, rank * n * 4);
  group.allGather({ ptr, size: n, bytes: n * 4, code: y.code }, y);
  assertEquals(
    read(context, y, all),
    Int32Array.from({ length: n * size }, (_, i) => Math.floor(i / n)),
  );
}

/** Tags out of order, both sides first, several of one tag, large and empty messages. */
function transfers(context: Context, group: Communicator): void {
  const { rank, size } = group;
  const next = (rank + 1) % size, previous = (rank + size - 1) % size;
  const outgoing = Array.from(
    { length: 8 },
    (_, tag) => block(context, new Int32Array(1000).fill(rank * 100 + tag)),
  );
  const incoming = outgoing.map(() => block(context, new Int32Array(1000)));
  const sends = outgoing.map((x, tag) => group.isend(x, next, tag));
  // NCCL has no tags: what a pair exchanges arrives in the order in which it was sent
  const order = backend === "cpu" ? [3, 0, 7, 1, 6, 2, 5, 4] : [0, 1, 2, 3, 4, 5, 6, 7];
  const receives = order.map((tag) => group.irecv(incoming[tag], previous, tag));
  receives.reverse().forEach((transfer) => transfer.wait());
  sends.forEach((transfer) => transfer.wait());
  incoming.forEach((x, tag) =>
    assertEquals(
      read(context, x, new Int32Array(1000)),
      new Int32Array(1000).fill(previous * 100 + tag),
    )
  );

  const queue = Array.from({ length: 5 }, (_, i) => block(context, new Int32Array(3).fill(i)));
  const queued = queue.map((x) => group.isend(x, next, 9));
  for (let i = 0; i < 5; i++) {
    const x = block(context, new Int32Array(3));
    group.recv(x, previous, 9);
    assertEquals(read(context, x, new Int32Array(3)), new Int32Array(3).fill(i));
  }
  queued.forEach((transfer) => transfer.wait());

  const large = block(context, new Uint8Array(24 * MB).fill(rank + 1));
  const landed = block(context, new Uint8Array(24 * MB));
  const sending = group.isend(large, next, 0);
  group.recv(landed, previous, 0);
  sending.wait();
  assert(read(context, landed, new Uint8Array(24 * MB)).every((byte) => byte === previous + 1));

  const empty = block(context, new Uint8Array(0));
  group.isend(empty, next, 1).wait();
  group.recv(empty, previous, 1);
}

async function groupsOfGrid(context: Context, rendezvous: RendezvousClient): Promise<void> {
  const { rank } = rendezvous.placement;
  using set = await GroupSet.connect({ pipe: 2, data: 2 }, { context, rendezvous });
  const { world, pipe, data } = set.groups;
  assertEquals(world.members, [0, 1, 2, 3]);
  assertEquals(pipe.members, [rank % 2, rank % 2 + 2]);
  assertEquals(data.members, [rank - rank % 2, rank - rank % 2 + 1]);
  // Interleaved: what travels in one group does not disturb another.
  for (let i = 0; i < 20; i++) {
    const x = block(context, new Float32Array(1000).fill(rank));
    const y = block(context, new Float32Array(1000));
    const sending = pipe.isend(x, 1 - pipe.rank, i);
    assertEquals(data.reduceNumbers([rank]), [data.members[0] + data.members[1]]);
    pipe.recv(y, 1 - pipe.rank, i);
    sending.wait();
    assertEquals(world.reduceNumbers([rank], "max"), [3]);
    assertEquals(read(context, y, new Float32Array(1000))[999], pipe.members[1 - pipe.rank]);
  }
  world.barrier();
}

/** Rank 1 comes to its end; the others wait for a message that never comes, or comes half. */
async function loss(context: Context, group: Communicator, plan: string): Promise<void> {
  const bytes = plan === "kill-mid" ? 64 * MB : 1000;
  const x = { ptr: context.alloc(bytes), size: bytes, bytes, code: 5 };
  group.barrier();
  if (group.rank === 1) {
    if (plan === "kill-mid") group.isend(x, 0, 5);
    if (plan === "kill-idle") await new Promise((resolve) => setTimeout(resolve, 200));
    if (plan.startsWith("kill")) Deno.kill(Deno.pid, "SIGKILL");
    if (plan === "hang") Deno.kill(Deno.pid, "SIGSTOP");
    if (plan === "leave") {
      group.send(x, 0, 4); // arrives, although the sender is gone when it is waited for
      return;
    }
  }
  if (plan === "leave" && group.rank === 0) {
    const last = group.irecv(x, 1, 4);
    await new Promise((resolve) => setTimeout(resolve, 300));
    last.wait();
  }
  const from = group.rank === 2 ? 0 : 1;
  group.recv(x, from, 5);
  if (plan === "kill-mid") group.recv(x, from, 5); // all of the first may have come in time
  group.synchronize();
}

/**
 * What is computed after a send began ends although the receiver does not come yet: only then does
 * rank 0 let it come. Both would wait for each other for ever if a send held up what follows it.
 */
async function overlap(
  context: Context,
  group: Communicator,
  rendezvous: RendezvousClient,
): Promise<void> {
  const n = 1 << 20;
  const x = block(context, new Float32Array(n).fill(3));
  const signal = () => rendezvous.exchange("computed", new Uint8Array());
  if (group.rank === 0) {
    const sending = group.isend(x, 1, 0);
    const y = block(context, new Float32Array(n));
    const [begin, end] = [context.createEvent(), context.createEvent()];
    context.recordEvent(begin);
    context.fill(y.ptr, 5, n, 0);
    context.recordEvent(end);
    assert(context.secondsBetween(begin, end) >= 0); // waits for both, but for nothing else
    await signal();
    sending.wait();
    context.fill(x.ptr, 0, n, 0); // after the wait, what was sent may be overwritten
    assertEquals(read(context, y, new Float32Array(n))[n - 1], 5);
  } else {
    await signal();
    group.recv(x, 0, 0);
    assert(read(context, x, new Float32Array(n)).every((value) => value === 3));
  }
}

function sizes(context: Context, group: Communicator): void {
  const x = block(context, new Uint8Array(group.rank === 0 ? 1000 : 4000));
  if (group.rank === 0) group.recv(x, 1, 5);
  else group.send(x, 0, 5);
  group.synchronize();
}

Deno.exit(
  await runRank(async (rendezvous) => {
    const { worldSize, rank, localRank } = rendezvous.placement;
    using context = openContext({
      backend,
      device: backend === "cpu" ? 0 : localRank,
      threads: 1,
    });
    if (scenario === "groups") return await groupsOfGrid(context, rendezvous);
    rendezvous.place = { stage: rank };
    const members = Array.from({ length: worldSize }, (_, i) => i);
    const timeoutMs = scenario === "hang" ? 1500 : 20_000;
    using group = await Communicator.connect({
      context,
      rendezvous,
      name: "world",
      members,
      timeoutMs,
    });
    if (scenario === "collectives") collectives(context, group);
    else if (scenario === "transfers") transfers(context, group);
    else if (scenario === "overlap") await overlap(context, group, rendezvous);
    else if (scenario === "sizes") sizes(context, group);
    else if (scenario === "orphan") {
      console.log(Deno.pid);
      if (rank === 0) group.barrier(); // waits inside the native library
      await new Promise((resolve) => setTimeout(resolve, 60_000)); // waits here
    } else await loss(context, group, scenario);
  }),
);
