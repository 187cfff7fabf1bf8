import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { RankMessage } from "../../src/launch/messages.ts";
import { runRanks } from "../../src/launch/supervisor.ts";

const RANK = new URL("./rank_program.ts", import.meta.url).pathname;
const SUPERVISOR = new URL("./supervisor_program.ts", import.meta.url).pathname;
const run = (program: string, ...args: string[]) => [
  ...[Deno.execPath(), "run", "--no-check", "--allow-all", program],
  ...args,
];

interface Outcome {
  status: number;
  /** What the supervisor printed. */
  text: string;
  /** Lines of the ranks: "rank stream line". */
  lines: string[];
  messages: [number, RankMessage][];
  seconds: number;
}

async function supervise(plan: string, worldSize: number): Promise<Outcome> {
  const text: string[] = [], lines: string[] = [], messages: [number, RankMessage][] = [];
  let begin = performance.now(); // when the last rank was ready
  const status = await runRanks({
    worldSize,
    command: () => run(RANK, plan),
    print: (line) => text.push(line),
    onLine: (rank, stream, line) => lines.push(`${rank} ${stream} ${line}`),
    onMessage: (rank, message) => {
      messages.push([rank, message]);
      if (message.type === "ready") begin = performance.now();
    },
  });
  const seconds = (performance.now() - begin) / 1e3;
  return { status, text: text.join("\n"), lines, messages, seconds };
}

/** Process ids whose command line contains the word. */
async function processesOf(word: string): Promise<number[]> {
  const pids: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = (await Deno.readTextFile(`/proc/${name}/cmdline`)).split("\0");
      const stat = await Deno.readTextFile(`/proc/${name}/stat`);
      if (words.includes(word) && !/\) Z /.test(stat)) pids.push(Number(name));
    } catch {
      // It ended meanwhile.
    }
  }
  return pids;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 10_000; !(await condition());) {
    assert(Date.now() < end, "the condition was not met within 10 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

Deno.test("runRanks() lets ranks exchange blobs and returns 0", async () => {
  const { status, lines, messages, text } = await supervise("exchange", 4);
  assertEquals(status, 0);
  assertEquals(text, "");
  assertEquals(
    lines.toSorted(),
    [0, 1, 2, 3].map((rank) => `${rank} stdout rank 0, rank 1, rank 2, rank 3`),
  );
  assertEquals(messages.map(([rank]) => rank).toSorted(), [0, 1, 2, 3]);
});

Deno.test("runRanks() tells every rank its place", async () => {
  const { lines } = await supervise("environment", 2);
  const threads = Math.max(1, Math.floor(navigator.hardwareConcurrency / 2));
  assertEquals(lines.toSorted(), [`0 stdout 0 0 2 2 ${threads}`, `1 stdout 1 1 2 2 ${threads}`]);
});

Deno.test("a killed rank ends the run within 5 seconds, and its signal is printed last", async () => {
  const { status, text, seconds } = await supervise("kill", 3);
  assertEquals(status, 1);
  assertLess(seconds, 5);
  assertStringIncludes(text, "Rank 0 (stage 0, step 12) ended as well: Cannot receive");
  assertMatch(text.split("\n").at(-1)!, /^llmpipe: Rank 1 failed: it was killed by SIGKILL/);
});

Deno.test("an error is the first cause even if another rank notices the loss earlier", async () => {
  const { status, text } = await supervise("error", 2);
  assertEquals(status, 1);
  assertEquals(
    text.split("\n").at(-1),
    "llmpipe: Rank 1 (stage 1, step 12) failed: Cannot read layer_03: the file is cut short",
  );
});

Deno.test("a rank that gave no reason is reported with its last words on stderr", async () => {
  const { status, text, seconds } = await supervise("silent", 2);
  assertEquals(status, 1);
  assertLess(seconds, 5);
  assertStringIncludes(text, "    terminate called after throwing");
  assertStringIncludes(text, "Rank 1 failed: it exited with status 134 and gave no reason");
});

Deno.test("a native crash of the only rank is reported by its signal", async () => {
  const { status, text } = await supervise("crash", 1);
  assertEquals([status, text], [1, "llmpipe: Rank 0 failed: it was ended by SIGSEGV"]);
});

Deno.test("output of several ranks is told apart, that of one is passed on as it is", async () => {
  const output = async (worldSize: number) => {
    const command = new Deno.Command(Deno.execPath(), {
      args: run(SUPERVISOR, "exchange", `${worldSize}`).slice(1),
    });
    const lines = new TextDecoder().decode((await command.output()).stdout).trim().split("\n");
    return lines.filter((line) => !line.endsWith("ready")).toSorted();
  };
  assertEquals(await output(2), ["[rank 0] rank 0, rank 1", "[rank 1] rank 0, rank 1"]);
  assertEquals(await output(1), ["rank 0"]);
});

Deno.test("what the user configured wrongly ends with status 2", async () => {
  const { status, text } = await supervise("config", 1);
  assertEquals(status, 2);
  assertEquals(
    text,
    "llmpipe: Rank 0 (stage 0, step 12) failed: Cannot use parts [1, 2]: the sum must be 4",
  );
});

Deno.test("a rank that ignores SIGTERM is killed within 5 seconds", async () => {
  const { text, seconds } = await supervise("deaf", 2);
  assertLess(seconds, 5);
  assertStringIncludes(text, "Rank 0 failed: it exited with status 7");
});

Deno.test("a rank that tells its error and cannot end is killed within 5 seconds", async () => {
  const { text, seconds, status } = await supervise("stuck", 2);
  assertEquals(status, 1);
  assertLess(seconds, 5);
  assertStringIncludes(text, "llmpipe: Rank 1 (step 12) failed: gemm: no answer");
});

Deno.test("what a listener throws ends the run, and is thrown once no rank is left", async () => {
  const running = runRanks({
    worldSize: 2,
    command: () => run(RANK, "forever"),
    print: (line) => assert(line === "", `nothing is said of it here: ${line}`),
    onMessage: () => {
      throw new Error("Cannot write metrics.jsonl: No space left on device");
    },
  });
  const error = await assertRejects(() => running, Error);
  assertStringIncludes(error.message, "Cannot write metrics.jsonl");
});

Deno.test("a program that cannot be started is reported", async () => {
  const text: string[] = [];
  const status = await runRanks({
    worldSize: 2,
    command: () => ["/nowhere/llmpipe"],
    print: (line) => text.push(line),
  });
  assertEquals(status, 1);
  assertStringIncludes(text.at(-1)!, "Rank 0 failed: it cannot be started");
});

for (
  const [plan, signals, status] of [["wait", 1, 130], ["forever", 1, 130], [
    "forever",
    2,
    130,
  ]] as const
) {
  Deno.test(`SIGINT, ${signals} time(s), brings down ranks that ${plan}`, async () => {
    const child = new Deno.Command(Deno.execPath(), {
      args: run(SUPERVISOR, plan, "2").slice(1),
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; !/ready[^]*ready/.test(text);) {
      const { value, done } = await reader.read();
      assert(!done, `the ranks did not start: ${text}`);
      text += value;
    }
    for (let i = 0; i < signals; i++) {
      child.kill("SIGINT");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const text = await new Response(child.stderr).text();
    await reader.cancel();
    assertEquals((await child.status).code, status);
    assertStringIncludes(text, "llmpipe: Stopped by SIGINT");
    assertEquals(await processesOf(plan), []);
  });
}

Deno.test("no rank is left behind by any of these runs", async () => {
  await until(async () => (await processesOf(RANK)).length === 0);
});
