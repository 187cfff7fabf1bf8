import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseConfig } from "../../src/config/load.ts";
import {
  learningRate,
  type RateSpec,
  rateSpec,
  scheduleWarning,
} from "../../src/optim/lr_schedule.ts";

interface Table {
  scheduler: string;
  params: Record<string, unknown> & { total_num_steps?: number };
  optimizer_lr: number;
  lr_used: number[];
  lr_after: number[];
  error?: string;
}

const tables: Table[] = JSON.parse(
  Deno.readTextFileSync(new URL("../fixtures/optim/lr_tables.json", import.meta.url)),
);

/** The schedule of a table, through the configuration as a user would write it. */
function specOf(table: Table, order: RateSpec["order"]): RateSpec {
  const oneCycle = table.scheduler === "OneCycle" ? { cycle_momentum: false } : {};
  const text = JSON.stringify({
    train_micro_batch_size_per_gpu: 1,
    optimizer: { type: "AdamW", params: { lr: table.optimizer_lr } },
    scheduler: { type: table.scheduler, params: { ...table.params, ...oneCycle } },
    model_path: "m",
    save_path: "s",
    data_path: "d",
    n_epoches: 1,
    max_seq_len: 8,
  });
  const config = parseConfig(text, "table", order === "deepspeed" ? ["compat=gdgpt"] : []);
  const spec = rateSpec(config, table.params.total_num_steps ?? 0);
  assertEquals(spec.order, order);
  return spec;
}

function assertRates(spec: RateSpec, expected: readonly number[], name: string): void {
  expected.forEach((rate, i) => {
    const found = learningRate(spec, i + 1);
    const close = Math.abs(found - rate) <= 1e-12 * Math.max(rate, 1e-12);
    assert(close, `${name}: update ${i + 1} runs at ${found}, not ${rate}`);
  });
}

for (const [i, table] of tables.entries()) {
  const name = `${table.scheduler} (table ${i})`;
  // What the table holds at the failing step was not computed.
  const count = table.error ? table.lr_used.length - 1 : table.lr_used.length;

  Deno.test(`learningRate() equals DeepSpeed's order for ${name}`, () => {
    assertRates(specOf(table, "deepspeed"), table.lr_used.slice(0, count), name);
  });

  Deno.test(`learningRate() runs update k at schedule(k - 1) for ${name}`, () => {
    const expected = table.scheduler === "OneCycle" ? table.lr_used : table.lr_after;
    assertRates(specOf(table, "schedule"), expected.slice(0, count - 1), name);
  });
}

Deno.test("learningRate() stays the same without a scheduler", () => {
  const spec: RateSpec = { scheduler: null, lr: 0.25, totalSteps: 3, order: "schedule" };
  assertEquals([1, 2, 1000].map((k) => learningRate(spec, k)), [0.25, 0.25, 0.25]);
});

Deno.test("learningRate() refuses updates before 1 and a cosine without length", () => {
  const table = tables.find((t) => t.error)!;
  const spec = specOf(table, "schedule");
  assertThrows(() => learningRate(spec, 0), RangeError, "updates count from 1: got 0");
  assertThrows(
    () => learningRate(spec, 41),
    RangeError,
    "the schedule ends with its warm-up at 40",
  );
});

Deno.test("scheduleWarning() tells when the warm-up does not end", () => {
  const spec = { ...specOf(tables[0]!, "schedule"), totalSteps: 20 };
  assertEquals(
    scheduleWarning(spec),
    "The learning rate never reaches its maximum as scheduler.params.warmup_num_steps is 20 and " +
      "the run has 20 steps",
  );
  assertEquals(scheduleWarning({ ...spec, totalSteps: 21 }), undefined);
  assertEquals(scheduleWarning({ ...spec, scheduler: null }), undefined);
});
