import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RendezvousClient } from "../../src/comm/rendezvous_client.ts";
import { joinBlobs, splitBlobs } from "../../src/launch/blobs.ts";
import { FrameConnection } from "../../src/launch/frame.ts";
import { makeToken, RefusedError } from "../../src/launch/handshake.ts";
import type { Placement } from "../../src/launch/placement.ts";
import { Rendezvous, type RendezvousOptions } from "../../src/launch/rendezvous.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (blobs: Uint8Array[]) => blobs.map((blob) => new TextDecoder().decode(blob));

/** A server of a run, the words it turned others away with, and clients for it. */
function serve(worldSize: number, options: Partial<RendezvousOptions> = {}) {
  const refusals: string[] = [];
  const refused = Promise.withResolvers<void>();
  const token = makeToken();
  const server = new Rendezvous({
    worldSize,
    token,
    ...options,
    onRefused: (reason) => {
      refusals.push(reason);
      refused.resolve();
    },
  });
  const placement = (rank: number): Placement => ({
    ...{ rank, worldSize, localRank: rank, localWorldSize: worldSize, threads: 1 },
    ...{ rendezvous: server.address, token, supervisorPid: Deno.pid },
  });
  const [hostname, port] = server.address.split(":");
  const connect = () => Deno.connect({ hostname, port: Number(port) });
  return { server, refusals, refused: refused.promise, placement, connect };
}

/** The run still works: all ranks join and exchange. */
async function expectWorking(placement: (rank: number) => Placement, worldSize: number) {
  const ranks = Array.from({ length: worldSize }, (_, rank) => rank);
  const clients = await Promise.all(ranks.map((r) => RendezvousClient.connect(placement(r))));
  const all = await Promise.all(clients.map((c, rank) => c.exchange("all", encode(`${rank}`))));
  for (const blobs of all) assertEquals(decode(blobs), ranks.map(String));
  clients.forEach((client) => client.close());
}

Deno.test("splitBlobs() is the inverse of joinBlobs(), and refuses lengths that do not fit", () => {
  for (const blobs of [[], [""], ["a", "", "bcd"]]) {
    assertEquals(decode(splitBlobs(joinBlobs(blobs.map(encode)))), blobs);
  }
  for (const length of [1, 7, 9]) {
    let message = "";
    try {
      splitBlobs(joinBlobs([encode("abc")]).slice(0, length));
    } catch (error) {
      message = (error as Error).message;
    }
    assertStringIncludes(message, "does not fit");
  }
});

Deno.test("16 ranks that join at once exchange blobs in the order of the members", async () => {
  const { server, refusals, placement } = serve(16);
  await using _ = server;
  const ranks = Array.from({ length: 16 }, (_, rank) => rank);
  const clients = await Promise.all(ranks.map((r) => RendezvousClient.connect(placement(r))));
  const results = await Promise.all(clients.flatMap((client, rank) => {
    const members = ranks.filter((other) => other % 2 === rank % 2).reverse();
    return [
      client.exchange("world", encode(`${rank}`)),
      client.exchange(`parity ${rank % 2}`, new Uint8Array(100_000).fill(rank), members),
    ];
  }));
  ranks.forEach((rank) => {
    assertEquals(decode(results[2 * rank]), ranks.map(String));
    const sent = results[2 * rank + 1];
    assertEquals(
      sent.map((blob) => blob[99_999]),
      [14, 12, 10, 8, 6, 4, 2, 0].map((r) => r + rank % 2),
    );
  });
  clients.forEach((client) => client.close());
  assertEquals(refusals, []);
});

Deno.test("a wrong token is refused and logged, and harms nobody", async () => {
  const { server, refusals, placement } = serve(2);
  await using _ = server;
  await assertRejects(
    () => RendezvousClient.connect({ ...placement(0), token: makeToken() }),
    RefusedError,
    "the token is not that of this run",
  );
  assertStringIncludes(refusals.join(), "the token is not that of this run");
  await expectWorking(placement, 2);
});

Deno.test("a rank of another world, an impossible one and a second one are refused", async () => {
  const { server, placement } = serve(2);
  await using _ = server;
  const join = (changes: Partial<Placement>) =>
    RendezvousClient.connect({ ...placement(0), ...changes });
  await assertRejects(() => join({ worldSize: 3 }), RefusedError, "must have 2 ranks: yours has 3");
  await assertRejects(() => join({ rank: 2 }), RefusedError, "must be in [0, 2): found 2");
  using _first = await join({});
  await assertRejects(() => join({}), RefusedError, "rank 0 has already joined");
});

Deno.test("another version of the protocol is refused with both numbers", async () => {
  const { server, refusals, connect } = serve(1);
  await using _ = server;
  using connection = new FrameConnection(await connect(), 4096);
  await connection.receive();
  await connection.send({ op: "hello", protocol: 99 });
  const answer = await connection.receive();
  assertEquals(answer?.head.reason, "the protocol must be 1: that of the rank is 99");
  assertStringIncludes(refusals.join(), "99");
});

for (
  const [what, bytes, reason] of [
    [
      "an HTTP request",
      encode("GET / HTTP/1.1\r\nHost: llmpipe\r\n\r\n"),
      "longer than 4096 bytes",
    ],
    [
      "a frame of 3 GB",
      new Uint8Array([255, 255, 255, 191, 2, 0, 0, 0, 123, 125]),
      "longer than 4096",
    ],
    [
      "a head longer than its frame",
      new Uint8Array([8, 0, 0, 0, 9, 0, 0, 0, 1, 1, 1, 1]),
      "inconsistent",
    ],
    [
      "a head that is not JSON",
      new Uint8Array([8, 0, 0, 0, 4, 0, 0, 0, 255, 254, 0, 1]),
      "as JSON",
    ],
    ["a head that is an array", new Uint8Array([6, 0, 0, 0, 2, 0, 0, 0, 91, 93]), "a JSON object"],
    [
      "a message before the token",
      new Uint8Array([6, 0, 0, 0, 2, 0, 0, 0, 123, 125]),
      "must be hello",
    ],
  ] as const
) {
  Deno.test(`${what} is refused and logged, and harms nobody`, async () => {
    const { server, refusals, refused, placement, connect } = serve(2);
    await using _ = server;
    using conn = await connect();
    await conn.write(bytes);
    await refused;
    assertStringIncludes(refusals.join(), reason);
    await expectWorking(placement, 2);
  });
}

Deno.test("a connection that says nothing is closed, and keeps nobody waiting", async () => {
  const { server, refusals, refused, placement, connect } = serve(2, { handshakeMs: 200 });
  await using _ = server;
  using silent = await connect();
  await expectWorking(placement, 2);
  await refused;
  assertEquals(refusals.length, 1);
  assertStringIncludes(refusals[0], "no token was shown within 200 ms");
  const rest = new Uint8Array(4096);
  while ((await silent.read(rest)) !== null); // the challenge, then the end
});

Deno.test("too many connections without a token are closed at once", async () => {
  const { server, refusals, refused, connect } = serve(2, { maxPending: 3 });
  await using _ = server;
  const connections = await Promise.all(Array.from({ length: 5 }, connect));
  await refused;
  assertStringIncludes(refusals[0], "3 others have shown no token yet");
  connections.forEach((connection) => connection.close());
});

Deno.test("a rank refuses a supervisor that does not hold the token", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const impostor = async () => {
    using connection = new FrameConnection(await listener.accept(), 4096);
    await connection.send({ op: "challenge", protocol: 1, nonce: "00" });
    await connection.receive();
    await connection.send({ op: "welcome", proof: "00".repeat(32) });
  };
  const { server, placement } = serve(1);
  await using _ = server;
  const rendezvous = `127.0.0.1:${listener.addr.port}`;
  const served = impostor();
  await assertRejects(
    () => RendezvousClient.connect({ ...placement(0), rendezvous }),
    RefusedError,
    "does not hold the token",
  );
  await served;
});

Deno.test("an exchange fails on all ranks when their members differ or one is gone", async () => {
  const { server, placement } = serve(3);
  await using _ = server;
  const [a, b, c] = await Promise.all([0, 1, 2].map((r) => RendezvousClient.connect(placement(r))));
  const differing = await Promise.allSettled([
    a.exchange("pair", encode("a"), [0, 1]),
    b.exchange("pair", encode("b"), [1, 0]),
  ]);
  for (const result of differing) {
    assertEquals(result.status, "rejected");
    assertStringIncludes(String((result as PromiseRejectedResult).reason), "the same on all ranks");
  }
  const waiting = a.exchange("all", encode("a"));
  c.close();
  await assertRejects(() => waiting, Error, "rank 2 is gone");
  await assertRejects(() => b.exchange("later", encode("b")), Error, "rank 2 is gone");
  a.close();
  b.close();
});

Deno.test("messages arrive in order, and what is none ends the connection of that rank", async () => {
  const names: string[] = [];
  const left = Promise.withResolvers<number>();
  const { server, refusals, placement } = serve(2, {
    onMessage: (_, message) => message.type === "phase" && names.push(message.name),
    onLeave: (rank) => left.resolve(rank),
  });
  await using _ = server;
  using client = await RendezvousClient.connect(placement(1));
  for (let i = 0; i < 50; i++) client.say({ type: "phase", name: `${i}` });
  await client.say({ type: "riddle" } as never);
  assertEquals(await left.promise, 1);
  assertEquals(names, Array.from({ length: 50 }, (_, i) => `${i}`));
  assertStringIncludes(refusals.join(), "Cannot read a message of rank 1");
});

Deno.test("stop() reaches every rank, as does the end of the server", async () => {
  const { server, placement } = serve(2);
  const clients = await Promise.all(
    [0, 1].map((rank) => RendezvousClient.connect(placement(rank))),
  );
  const aborted = (client: RendezvousClient) =>
    new Promise((resolve) => client.stopSignal.addEventListener("abort", resolve));
  const stopped = aborted(clients[0]);
  server.stop("rank 1 failed");
  await stopped;
  assertStringIncludes(String(clients[0].stopSignal.reason), "rank 1 failed");
  await server.close();
  clients.forEach((client) => client.close());
});
