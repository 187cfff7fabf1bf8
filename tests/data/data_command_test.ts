import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { llmpipe, ROOT, TemporaryFolder } from "../cli/start.ts";

const SAMPLES = [
  { type: "instruct", instruct: "Say yes", output: "yes" },
  { type: "pretrain", text: "yes ".repeat(200) },
];

/** A configuration over samples, with its own cache. */
function writeConfig(folder: string, samples: string): string {
  const path = join(folder, "config.yml"), data = join(folder, "data.json");
  Deno.writeTextFileSync(data, samples);
  const config = {
    model_topo: { process_topology: { axes: ["pipe", "data"], dims: [1, 1] }, parts: [4] },
    model_path: join(ROOT, "tests/fixtures/tokenizers/llama"),
    save_path: join(folder, "run"),
    data_path: data,
    n_epoches: 1,
    max_seq_len: 128,
    train_micro_batch_size_per_gpu: 1,
    gradient_accumulation_steps: 1,
    optimizer: { type: "AdamW", params: { lr: 0.001 } },
  };
  Deno.writeTextFileSync(path, JSON.stringify(config));
  Deno.env.set("LLMPIPE_CACHE_DIR", join(folder, "cache"));
  return path;
}

Deno.test("llmpipe data tells what will be trained on, warnings on stderr", async () => {
  await using folder = new TemporaryFolder();
  const config = writeConfig(folder.path, JSON.stringify(SAMPLES));
  const { code, stdout, stderr } = await llmpipe("data", config);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "2 samples");
  assertStringIncludes(stdout, "pretrain 1, instruct 1");
  assertStringIncludes(stdout, "<< yes");
  assertStringIncludes(stderr, "Warning: 1 of 2 samples (50.0 %) are longer than max_seq_len 128");
});

Deno.test("llmpipe data warns of an end that is never trained, and only then", async () => {
  const never =
    "Warning: The end-of-sequence token is never trained: the model will not learn to stop";
  const pretrain = { type: "pretrain", text: "yes yes" };
  const cases: [samples: unknown[], warning: string | undefined][] = [
    [[pretrain, pretrain], `${never} (samples of type pretrain and tokens get no eos added)`],
    [[pretrain, { type: "tokens", input_ids: [5, 2], labels: [5, 2] }], undefined], // 2 is </s>
    [[pretrain, { type: "tokens", input_ids: [2, 5], labels: [2, 5] }], never], // first: no target
    [[pretrain, SAMPLES[0]], undefined],
  ];
  for (const [samples, warning] of cases) {
    await using folder = new TemporaryFolder();
    const { code, stderr } = await llmpipe(
      "data",
      writeConfig(folder.path, JSON.stringify(samples)),
    );
    assertEquals(code, 0, stderr);
    if (warning === undefined) assert(!stderr.includes("Warning"), stderr);
    else assertStringIncludes(stderr, warning);
  }
});

Deno.test("llmpipe data warns when more than 1 % of the samples are cut off, not of 1 %", async () => {
  const [short] = SAMPLES, long = { ...short, output: "yes ".repeat(200) };
  for (const count of [99, 100]) {
    await using folder = new TemporaryFolder();
    const samples = [long, ...Array(count - 1).fill(short)];
    const config = writeConfig(folder.path, JSON.stringify(samples));
    const { code, stdout, stderr } = await llmpipe("data", config);
    assertEquals(code, 0, stderr);
    assertStringIncludes(stdout, "Truncated  1 samples (1.0 %)");
    if (count === 100) assert(!stderr.includes("Warning"), stderr);
    else assertStringIncludes(stderr, "Warning: 1 of 99 samples (1.0 %) are longer than max_seq_l");
  }
});

Deno.test("llmpipe data says that sharegpt samples without a chat template are conversations", async () => {
  await using folder = new TemporaryFolder();
  const turns = [{ from: "human", value: "hi" }, { from: "gpt", value: "hello" }];
  const config = writeConfig(folder.path, JSON.stringify([{ conversations: turns }]));
  const { code, stdout, stderr } = await llmpipe("data", config);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "sharegpt 1");
  assertStringIncludes(stdout, "### Human: hi");
  assertStringIncludes(
    stderr,
    "1 samples of type sharegpt are written in the words of type conver",
  );
});

Deno.test("llmpipe data --dump prints one JSON line per sample", async () => {
  await using folder = new TemporaryFolder();
  const config = writeConfig(folder.path, JSON.stringify(SAMPLES));
  const { code, stdout, stderr } = await llmpipe("data", config, "--dump");
  assertEquals(code, 0, stderr);
  const rows = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(rows.length, 2);
  for (const row of rows) {
    assertEquals(Object.keys(row), ["input_ids", "attention_mask", "labels"]);
    for (const list of Object.values<number[]>(row)) assertEquals(list.length, 128);
    row.labels.forEach((label: number, t: number) => {
      if (label !== -100) assertEquals(label, row.input_ids[t]);
    });
  }
});

Deno.test("llmpipe data stops with status 2 at a broken sample", async () => {
  await using folder = new TemporaryFolder();
  const config = writeConfig(folder.path, '[{"type": "pretrain", "text": "a"},\n{"type": "chat"}]');
  for (const flags of [[], ["--dump"]]) {
    const { code, stderr } = await llmpipe("data", config, ...flags);
    assertEquals(code, 2);
    assertStringIncludes(stderr, 'data.json (line 2): field "type" must be one of pretrain,');
    assertEquals(stderr.trim().split("\n").length, 1);
  }
});
