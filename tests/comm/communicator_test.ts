import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { axisGroups } from "../../src/comm/groups.ts";
import { runRanks } from "../../src/launch/supervisor.ts";

const RANK = new URL("./rank_program.ts", import.meta.url).pathname;

async function play(scenario: string, worldSize: number) {
  const text: string[] = [];
  let begin = performance.now(); // when the last rank was ready
  const status = await runRanks({
    worldSize,
    command: () => [Deno.execPath(), "run", "--no-check", "--allow-all", RANK, scenario],
    env: () => ({ NO_COLOR: "1" }),
    onMessage: (_, { type }) => {
      if (type === "ready") begin = performance.now();
    },
    print: (line) => text.push(line),
  });
  return { status, text: text.join("\n"), seconds: (performance.now() - begin) / 1e3 };
}

for (const worldSize of [1, 2, 3, 4]) {
  Deno.test(`collectives among ${worldSize} give the sums of the rank order, bit for bit`, async () => {
    assertEquals(await play("collectives", worldSize).then(({ text }) => text), "");
  });
}

for (const worldSize of [2, 3]) {
  Deno.test(`transfers among ${worldSize} may be waited for in any order, both sides sending first`, async () => {
    assertEquals(await play("transfers", worldSize).then(({ text }) => text), "");
  });
}

Deno.test("groups along the axes of a grid talk at the same time", async () => {
  assertEquals(await play("groups", 4).then(({ text }) => text), "");
});

Deno.test("axisGroups() lists the ranks along each axis", () => {
  assertEquals(axisGroups({ pipe: 2, data: 3 }), {
    pipe: [[0, 3], [1, 4], [2, 5]],
    data: [[0, 1, 2], [3, 4, 5]],
  });
  assertEquals(axisGroups({ pipe: 1 }), { pipe: [[0]] });
});

for (const scenario of ["kill-idle", "kill-mid"]) {
  Deno.test(`${scenario}: a killed rank surfaces on all others, first cause last`, async () => {
    const { status, text, seconds } = await play(scenario, 3);
    assertEquals(status, 1);
    assertLess(seconds, 5);
    // Of rank 1 or of rank 2, which went because of it: on a busy machine either is heard first
    assertMatch(
      text,
      /Rank 0 \(stage 0\) ended as well: Group "world" of ranks \[0, 1, 2\]: .*rank [12] is gone/,
    );
    assertMatch(text, /Rank 2 \(stage 2\) ended as well: .*is gone/);
    assertMatch(text.split("\n").at(-1)!, /Rank 1 failed: it was killed by SIGKILL/);
  });
}

Deno.test("a rank that hangs ends the wait for it after the time-out", async () => {
  const { status, text } = await play("hang", 2);
  assertEquals(status, 1);
  assertStringIncludes(
    text,
    'Rank 0 (stage 0) failed: Group "world" of ranks [0, 1]: wait: cannot receive 1000 bytes with ' +
      "tag 5 from rank 1: rank 1 did not answer within 1500 ms",
  );
});

Deno.test("a rank that leaves in order is told from one that died; what it sent arrives", async () => {
  const { status, text } = await play("leave", 2);
  assertEquals(status, 1);
  assertStringIncludes(text, "cannot receive 1000 bytes with tag 5 from rank 1: rank 1 has left");
});

Deno.test("a message of another size is an error on both sides, not the end of a process", async () => {
  const { status, text } = await play("sizes", 2);
  assertEquals(status, 1);
  assertStringIncludes(text, "rank 1 gives 4000 bytes with tag 5, this rank 1000");
  assertStringIncludes(text, "rank 0 gives 1000 bytes with tag 5, this rank 4000");
});

Deno.test("ranks end with their supervisor, even if that is killed", async () => {
  const program = new URL("./supervisor_program.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-all", program, "orphan"],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!/\d+\n\d+\n/.test(text)) {
    const { value, done } = await reader.read();
    assert(!done, `the ranks did not start: ${text}`);
    text += value;
  }
  child.kill("SIGKILL");
  await child.status;
  const pids = text.trim().split("\n");
  const isThere = (pid: string) => {
    try {
      return !/\) Z /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
    } catch {
      return false;
    }
  };
  for (const end = Date.now() + 5000; pids.some(isThere);) {
    assertLess(Date.now(), end);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await reader.cancel();
});
