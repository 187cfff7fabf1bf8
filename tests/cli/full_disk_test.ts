/** A disk that is full ends a command with the file that could not be written, and leaves no half. */
import { assertEquals, assertMatch } from "@std/assert";
import {
  at,
  type Case,
  configFile,
  expectRefused,
  GOOD_SAMPLES,
  INIT,
  right,
  start,
} from "./refusals.ts";

// A file size limit stands for a full disk: the system refuses writes in the same places.
const full = (blocks: number) => `trap '' XFSZ; ulimit -f ${blocks};`;

expectRefused("a full disk ends a command with the file that could not be written", () => ({
  "the token cache": {
    shell: `export LLMPIPE_CACHE_DIR=${at("cache_of_full")}; ${full(1)}`,
    says: ["Cannot write tokenized data to DIR/cache_of_full/data", "because: File too large"],
    status: 1,
  },
  "the converted model": {
    args: ["convert", "hg_to_pp", "--input-path", INIT, "--save-path", "SAVE/new"],
    shell: full(20),
    says: ["Cannot write SAVE/new", "layer_00-model_states.safetensors: File too large"],
    status: 1,
  },
  "the log": {
    config: { log_path: "/dev/full", n_epoches: 1 },
    says: ["No space left on device"],
    status: 1,
  },
  "stdout": {
    args: ["data", "--dump", right()],
    after: ">/dev/full",
    says: ["Cannot write stdout: No space left on device"],
    status: 1,
  },
  "stdout of plan": {
    args: ["plan", right()],
    after: ">/dev/full",
    says: ["Cannot write stdout: No space left on device"],
    status: 1,
  },
}));

Deno.test("a full disk leaves no temporary file in the token cache", async () => {
  const path = configFile(at("save_none"), { says: [] });
  Deno.utimeSync(at("good.jsonl"), 1e9, 1e9); // long ago: its hash is worth remembering
  const cache = at("cache_without_room");
  const shell = `export LLMPIPE_CACHE_DIR=${cache}; ${full(0)}`;
  const { status, stderr } = await start({ says: [], shell }, ["data", path]);
  assertEquals(status, 1, stderr);
  const names = (dir: string): string[] =>
    [...Deno.readDirSync(dir)].flatMap(({ name, isDirectory }) =>
      isDirectory ? names(`${dir}/${name}`) : [name]
    );
  assertEquals(names(cache).filter((name) => !name.endsWith(".lock")), []);
});

Deno.test("a disk that is full while a run writes fails it and leaves nothing half written", async () => {
  Deno.writeTextFileSync(at("good.jsonl"), GOOD_SAMPLES);
  const cases: [blocks: number, epochs: number, file: RegExp][] = [
    [40, 1, /failed: Cannot write .*_states.safetensors: File too large/],
    [8, 100, /^llmpipe: Cannot write .*\/metrics.jsonl: File too large/],
  ];
  for (const [blocks, n_epoches, message] of cases) {
    const savePath = at(`save_full_${blocks}`);
    const c: Case = { says: [], shell: full(blocks), config: { n_epoches } };
    const { status, stderr } = await start(c, ["train", configFile(savePath, c)]);
    assertEquals(status, 1, stderr);
    assertMatch(stderr.trimEnd().split("\n").at(-1)!, message);
    const names = [...Deno.readDirSync(savePath)].map(({ name }) => name).sort();
    assertEquals(names, ["metrics.jsonl", "run.json"]);
  }
});

const own = 'unshare -rm sh -c \'mount -t tmpfs -o size=9m none "$0" && exec "$@"\'';
const canMount = new Deno.Command("sh", { args: ["-c", `${own} /mnt true`], stderr: "null" });

Deno.test({
  name: "a checkpoint that the disk has no room for fails the run before it is written",
  ignore: !(await canMount.output()).success, // containers may not mount
  async fn() {
    Deno.writeTextFileSync(at("good.jsonl"), GOOD_SAMPLES);
    const savePath = at("save_small");
    Deno.mkdirSync(savePath);
    const c: Case = { says: [], shell: `${own} ${savePath}` };
    const { status, stderr } = await start(c, ["train", configFile(savePath, c)]);
    assertEquals(status, 1, stderr);
    const last = stderr.trimEnd().split("\n").at(-1)!;
    assertMatch(last, /failed: Cannot write to .* must be free: current free space is/);
  },
});
