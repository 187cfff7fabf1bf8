import { assertEquals, assertMatch } from "@std/assert";
import { readStepMetrics, type StepMetrics } from "../../src/monitor/metrics.ts";
import { formatCount, formatDuration, Progress } from "../../src/monitor/progress.ts";
import { Screen } from "../../src/monitor/terminal.ts";

const metrics = (step: number, seconds: number): StepMetrics => ({
  ...{ step, epoch: 0, loss: 1 / 3, grad_norm: 1.5, lr: 2e-5, loss_scale: 1, tokens: 4096 },
  ...{ tokens_per_second: 12345, seconds, memory: [], skipped: false },
});

function record(isInteractive: boolean, columns = 120) {
  const writes: string[] = [];
  const screen = new Screen({
    isInteractive,
    columns: () => columns,
    write: (t) => writes.push(t),
  });
  return { screen, writes };
}

Deno.test("Progress prints a line each steps_per_print that begins as DeepSpeed's", () => {
  const { screen, writes } = record(false);
  const progress = new Progress(screen, { totalSteps: 5, stepsPerPrint: 2, samplesPerStep: 8 });
  for (let step = 1; step <= 5; step++) progress.step(metrics(step, step <= 2 ? 0.25 : 0.5));
  progress.finish();
  assertEquals(writes.length, 3); // after 2, 4 and the last
  const form = /^steps: \d+ loss: \d+\.\d{4} iter time \(s\): \d+\.\d{3} samples\/sec: \d+\.\d{3}/;
  for (const line of writes) assertMatch(line, form);
  const begins = writes.map((line) => line.slice(0, line.indexOf(" lr:")));
  assertEquals(begins, [
    "steps: 2 loss: 0.3333 iter time (s): 0.250 samples/sec: 32.000",
    "steps: 4 loss: 0.3333 iter time (s): 0.500 samples/sec: 16.000",
    "steps: 5 loss: 0.3333 iter time (s): 0.500 samples/sec: 16.000",
  ]);
});

Deno.test("Progress counts the steps that overflowed, whose figures came as null", () => {
  const { screen, writes } = record(false);
  const progress = new Progress(screen, { totalSteps: 4, stepsPerPrint: 4, samplesPerStep: 8 });
  const skipped = { ...metrics(0, 1), loss_scale: 2 ** 16, skipped: true, grad_norm: null };
  for (let step = 1; step <= 3; step++) progress.step(readStepMetrics({ ...skipped, step }));
  progress.step({ ...metrics(4, 1), loss_scale: 2 ** 15 });
  assertMatch(writes[0], / left: 0s skipped: 3 of 4 \(overflow, loss scale 32768\)\n$/);
});

Deno.test("Progress keeps a bar below the lines on a terminal, never wider than it", () => {
  const { screen, writes } = record(true, 60);
  const progress = new Progress(screen, {
    ...{ totalSteps: 4, doneSteps: 1, stepsPerPrint: 4, samplesPerStep: 8, barWidth: 8 },
  });
  for (let step = 2; step <= 4; step++) progress.step(metrics(step, 60));
  screen.print("a line");
  progress.finish();
  assertEquals(writes[0], "\r\x1b[K[##......] 1/4");
  assertEquals(writes[1], "\r\x1b[K[####....] 2/4  loss 0.3333  lr 2.00e-5  12.3k tokens/s  2m");
  assertEquals(writes.at(-2)!.startsWith("\r\x1b[Ka line\n[########] 4/4"), true);
  assertEquals(writes.at(-1), "\r\x1b[K");
  for (const text of writes) {
    const bar = text.slice(text.lastIndexOf("\n") + 1).replace("\r\x1b[K", "");
    assertEquals(bar.length < 60, true);
  }
});

Deno.test("formatDuration() and formatCount() keep what matters", () => {
  assertEquals([0, 59.4, 59.6, 187, 18120, 273600, NaN].map(formatDuration), [
    ...["0s", "59s", "1m00s", "3m07s", "5h02m", "3d04h", "?"],
  ]);
  assertEquals([0, 950, 12345, 4.56e6, 2e9, NaN].map(formatCount), [
    ...["0", "950", "12.3k", "4.56M", "2.00G", "?"],
  ]);
});
