import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { cut, encodeSample } from "../../src/data/encode.ts";
import { pythonCall } from "../../src/data/python_repr.ts";
import { readSample } from "../../src/data/sample.ts";
import { createSampler } from "../../src/data/sampler.ts";
import { type ExactJson, parseExact } from "../../src/formats/json_exact.ts";
import { loadTokenizer, type Tokenizer } from "../../src/tokenizer/mod.ts";

const FIXTURES = fromFileUrl(new URL("../fixtures/", import.meta.url));

async function lines(name: string): Promise<string[]> {
  const file = await Deno.open(`${FIXTURES}samples/${name}`);
  const bytes = name.endsWith(".gz")
    ? file.readable.pipeThrough(new DecompressionStream("gzip"))
    : file.readable;
  return (await new Response(bytes).text()).trim().split("\n");
}

const numbers = (value: ExactJson | undefined): number[] =>
  (value as { source: string }[]).map((n) => Number(n.source));

/** Any value as JSON again, with the texts of its numbers. */
function toJson(value: ExactJson): string {
  if (value instanceof Map) {
    return `{${[...value].map(([k, v]) => `${JSON.stringify(k)}:${toJson(v)}`).join()}}`;
  }
  if (Array.isArray(value)) return `[${value.map(toJson).join()}]`;
  if (typeof value === "object" && value !== null) return value.source;
  return JSON.stringify(value);
}

function read(text: string) {
  const value = JSON.parse(text.replace(/-?Infinity|NaN/g, "0"));
  return readSample("cases", { value, text, index: 0, line: 1, bytes: [0, 0] }, undefined);
}

for (const name of ["bloom", "llama", "mixtral", "llama3", "baichuan2", "chatglm3"]) {
  Deno.test(`every sample encodes as gdGPT encodes it with the ${name} tokenizer`, async () => {
    const tokenizer: Tokenizer = loadTokenizer(`${FIXTURES}tokenizers/${name}`);
    const padId = tokenizer.padId ?? tokenizer.unkId;
    let count = 0;
    for (const line of await lines("cases.jsonl.gz")) {
      const found = parseExact(line) as Map<string, ExactJson>;
      if (found.get("tokenizer") !== name) continue;
      count++;
      const maxLength = numbers([found.get("max_seq_len")!])[0]!;
      const { ids, labels } = encodeSample(
        read(toJson(found.get("sample")!)),
        tokenizer,
        maxLength,
      );
      const missing = maxLength - ids.length;
      if (found.has("error")) {
        assert(padId === undefined && missing > 0, "gdGPT fails only where it cannot pad");
        continue;
      }
      const mask = numbers(found.get("attention_mask"));
      assertEquals(mask.filter((bit) => bit === 1).length, ids.length);
      const padding = (value: number) => new Array<number>(missing).fill(value);
      assertEquals([...ids, ...padding(padId ?? -1)], numbers(found.get("input_ids")));
      assertEquals([...labels, ...padding(-100)], numbers(found.get("labels")));
    }
    assert(count > 25, `only ${count} cases`);
  });
}

Deno.test("cut() equals truncate_and_pad_func before its padding", async () => {
  for (const line of await lines("truncate_and_pad.jsonl")) {
    const c = JSON.parse(line);
    if (c.side !== "right") continue; // the only side that gdGPT uses
    const eos = c.add_eos ? c.eos_token_id : undefined;
    const got = cut(Int32Array.from(c.ids_in), Int32Array.from(c.labels_in), c.max_seq_len, eos);
    const length = c.attention_mask.filter((bit: number) => bit === 1).length;
    assertEquals([...got.ids], c.input_ids.slice(0, length));
    assertEquals([...got.labels], c.labels.slice(0, length));
  }
});

Deno.test("pythonCall() equals api_format_func", async () => {
  for (const line of await lines("api_format.jsonl")) {
    const found = parseExact(line) as Map<string, ExactJson>;
    const params = found.get("api_param") as Map<string, ExactJson>;
    assertEquals(pythonCall(found.get("api_name") as string, params), found.get("text"));
  }
});

Deno.test("the sampler equals gdGPT's DistributedSampler with compat: gdgpt", async () => {
  for (const line of await lines("sampler.jsonl")) {
    const { n, num_replicas, rank, epochs } = JSON.parse(line);
    const sampler = createSampler({
      rows: n,
      seed: 5,
      shuffle: true,
      compat: "gdgpt",
      microBatch: 1,
      accumulation: 1,
      dataParallel: num_replicas,
    });
    epochs.forEach((order: number[], epoch: number) => {
      const got = order.map((_, i) =>
        sampler.microBatchRows(epoch * order.length + i, 0, rank)[0]!
      );
      assertEquals(got, order);
    });
  }
});

Deno.test("the README's samples are read, api_param as JSON text included", () => {
  const samples = JSON.parse(Deno.readTextFileSync(`${FIXTURES}samples/readme_samples.json`));
  const types = samples.map((sample: unknown) => read(JSON.stringify(sample)).type);
  assertEquals(new Set(types).size, 5);
  const tools = read(
    JSON.stringify(samples.find((s: { type: string }) => s.type === "conver_has_api")),
  );
  assert(tools.type === "conver_has_api");
  const round = tools.rounds.find((r) => r.role === "ans-api");
  assert(round?.role === "ans-api");
  assertEquals(
    pythonCall(round.actions[0]!.name, round.actions[0]!.params),
    "search(query='XiaoHuangShu', version='King James Version')",
  );
});
