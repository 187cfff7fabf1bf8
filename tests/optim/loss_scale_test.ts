import { assertEquals, assertThrows } from "@std/assert";
import { LossScale, type LossScaleRule, lossScaleRule } from "../../src/optim/loss_scale.ts";

const rule: LossScaleRule = {
  fixed: 0,
  initial: 256,
  window: 4,
  hysteresis: 2,
  refillAlways: false,
  least: 16,
  rule: "hysteresis",
};

/** The scales before each step of a run ("." clean, "x" overflow), and the one at the end. */
function scales(rule: LossScaleRule, run: string): number[] {
  const scale = new LossScale(rule);
  const seen = [scale.scale];
  for (const step of run) {
    scale.update(step === "x");
    seen.push(scale.scale);
  }
  return seen;
}

Deno.test("LossScale uses up the hysteresis before it halves, and doubles after clean steps", () => {
  const cases: [string, number[]][] = [
    ["x", [256, 256]],
    ["xx", [256, 256, 128]],
    ["x.x", [256, 256, 256, 128]],
    ["....", [256, 256, 256, 256, 512]],
    ["x....x", [256, 256, 256, 256, 256, 512, 512]],
    ["xx....", [256, 256, 128, 128, 128, 128, 256]],
    ["xxx", [256, 256, 128, 64]],
  ];
  for (const [run, expected] of cases) assertEquals(scales(rule, run), expected, run);
});

Deno.test("LossScale refills the hysteresis at every clean step when asked to", () => {
  assertEquals(scales({ ...rule, refillAlways: true }, "x.xx"), [256, 256, 256, 256, 128]);
});

Deno.test("LossScale halves at every overflow and never fails by the immediate rule", () => {
  const immediate: LossScaleRule = { ...rule, rule: "immediate" };
  const cases: [string, number[]][] = [
    ["xxxxxx", [256, 128, 64, 32, 16, 16, 16]],
    // The step after the overflow counts as 0: one more clean step than the window is needed.
    ["x.....", [256, 128, 128, 128, 128, 128, 256]],
    [".....", [256, 256, 256, 256, 256, 512]],
  ];
  for (const [run, expected] of cases) assertEquals(scales(immediate, run), expected, run);
});

Deno.test("LossScale ends the run when the smallest scale overflows", () => {
  const error = assertThrows(() => scales({ ...rule, hysteresis: 1 }, ".xxxxx"), RangeError);
  assertEquals(
    error.message,
    "Cannot continue as gradients overflow fp16 at the smallest loss scale, 16: step 6 is skipped " +
      "step number 5. Train in bf16 (bf16.enabled: true), lower the learning rate or lengthen the " +
      "warm-up; the last checkpoint is good",
  );
});

Deno.test("LossScale never changes a fixed scale", () => {
  assertEquals(scales({ ...rule, fixed: 128 }, "xxxx.....x"), Array(11).fill(128));
});

Deno.test("LossScale continues from a checkpoint as if it had not stopped", () => {
  const run = "..x...x..xx........x";
  const whole = new LossScale(rule);
  for (const step of run) whole.update(step === "x");
  for (let cut = 0; cut <= run.length; cut++) {
    const first = new LossScale(rule);
    for (const step of run.slice(0, cut)) first.update(step === "x");
    const second = new LossScale(rule, JSON.parse(JSON.stringify(first.state)));
    for (const step of run.slice(cut)) second.update(step === "x");
    assertEquals(second.state, whole.state);
  }
});

Deno.test("lossScaleRule() takes the keys of fp16", () => {
  const fp16 = {
    loss_scale: 0,
    initial_scale_power: 16,
    loss_scale_window: 1000,
    hysteresis: 2,
    consecutive_hysteresis: false,
    min_loss_scale: 1,
  };
  const expected: LossScaleRule = {
    fixed: 0,
    initial: 65536,
    window: 1000,
    hysteresis: 2,
    refillAlways: false,
    least: 1,
    rule: "hysteresis",
  };
  assertEquals(lossScaleRule(fp16, null), expected);
  assertEquals(lossScaleRule(fp16, "gdgpt"), { ...expected, rule: "immediate" });
});
