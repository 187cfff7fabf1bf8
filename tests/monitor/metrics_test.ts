import { assertEquals, assertThrows } from "@std/assert";
import { MetricsWriter, type StepMetrics } from "../../src/monitor/metrics.ts";

const metrics = (step: number, changes: Partial<StepMetrics> = {}): StepMetrics => ({
  ...{ step, epoch: 0.5, loss: 2.25, grad_norm: 1.5, lr: 1e-4, loss_scale: 1, tokens: 4096 },
  ...{ tokens_per_second: 8192, seconds: 0.5, memory: [1 << 20, 2 << 20], skipped: false },
  ...changes,
});

function withPath(use: (path: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    use(`${folder}/metrics.jsonl`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function write(path: string, afterStep: number, steps: number[]): void {
  using writer = new MetricsWriter(path, { afterStep });
  for (const step of steps) writer.write(metrics(step));
}

const stepsOf = (path: string) =>
  Deno.readTextFileSync(path).trimEnd().split("\n").map((line) => JSON.parse(line).step);

Deno.test("MetricsWriter writes one line per step, readable at once, with all keys", () => {
  withPath((path) => {
    using writer = new MetricsWriter(path, { afterStep: 0 });
    writer.write(metrics(1));
    const [line, rest] = Deno.readTextFileSync(path).split("\n");
    assertEquals(rest, "");
    assertEquals(JSON.parse(line), metrics(1));
    const keys =
      "step epoch loss grad_norm lr loss_scale tokens tokens_per_second seconds memory skipped";
    assertEquals(Object.keys(JSON.parse(line)), keys.split(" "));
  });
});

Deno.test("MetricsWriter continues after the resumed step and drops what came later", () => {
  withPath((path) => {
    write(path, 0, [1, 2, 3, 4, 5]);
    write(path, 3, [4, 5]);
    assertEquals(stepsOf(path), [1, 2, 3, 4, 5]);
    write(path, 5, [6]);
    assertEquals(stepsOf(path), [1, 2, 3, 4, 5, 6]);
    write(path, 0, [1]);
    assertEquals(stepsOf(path), [1]);
  });
});

Deno.test("MetricsWriter drops a last line that was cut short", () => {
  withPath((path) => {
    write(path, 0, [1, 2]);
    Deno.writeTextFileSync(path, '{"step":3,"lo', { append: true });
    write(path, 2, [3]);
    assertEquals(stepsOf(path), [1, 2, 3]);
  });
});

Deno.test("MetricsWriter refuses to continue a file that is not one of metrics, unchanged", () => {
  withPath((path) => {
    for (const text of ["a,b,c\n1,2,3\n", '{"step":1}\n{"loss":2}\n', '{"step":1}\nnull\n']) {
      Deno.writeTextFileSync(path, text);
      assertThrows(() => new MetricsWriter(path, { afterStep: 9 }), SyntaxError, "metrics.jsonl");
      assertEquals(Deno.readTextFileSync(path), text);
    }
  });
});

Deno.test("MetricsWriter writes numbers that are not finite as null", () => {
  withPath((path) => {
    using writer = new MetricsWriter(path, { afterStep: 0 });
    writer.write(metrics(1, { loss: NaN, grad_norm: Infinity, skipped: true }));
    const line = JSON.parse(Deno.readTextFileSync(path));
    assertEquals([line.loss, line.grad_norm, line.skipped], [null, null, true]);
  });
});
