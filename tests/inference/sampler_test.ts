import { assert, assertEquals } from "@std/assert";
import { StopTexts } from "../../src/inference/generate.ts";
import { Sampler, type SamplingOptions } from "../../src/inference/sampler.ts";
import { Device } from "../../src/tensor/device.ts";

const LOGITS = Float32Array.of(1, 3, 2, -1);

function draw(options: Partial<SamplingOptions>, n: number): number[] {
  using device = Device.open({ threads: 1 });
  const logits = device.tensor([1, LOGITS.length], "f32");
  device.upload(logits, LOGITS);
  const sampler = new Sampler(device, { temperature: 1, topK: 0, topP: 1, seed: 7, ...options });
  return Array.from({ length: n }, () => sampler.next(logits));
}

Deno.test("sampler: temperature 0 takes the most probable token", () => {
  assertEquals(draw({ temperature: 0 }, 3), [1, 1, 1]);
});

Deno.test("sampler: the same seed draws the same tokens, another seed others", () => {
  assertEquals(draw({}, 50), draw({}, 50));
  assert(draw({}, 50).join() !== draw({ seed: 8 }, 50).join());
});

Deno.test("sampler: frequencies follow softmax(logits / temperature)", () => {
  for (const temperature of [0.5, 1, 2]) {
    const n = 20000;
    const counts = [0, 0, 0, 0];
    for (const id of draw({ temperature }, n)) counts[id]++;
    const weights = [...LOGITS].map((x) => Math.exp(x / temperature));
    const total = weights.reduce((a, b) => a + b);
    weights.forEach((w, id) => {
      const p = w / total;
      const sigma = Math.sqrt(p * (1 - p) / n);
      assert(Math.abs(counts[id] / n - p) < 5 * sigma + 1e-9, `token ${id} at ${temperature}`);
    });
  }
});

Deno.test("sampler: top-k and top-p keep only the most probable tokens", () => {
  assertEquals([...new Set(draw({ topK: 2 }, 200))].sort(), [1, 2]);
  assertEquals([...new Set(draw({ topP: 0.6 }, 200))], [1]); // p = 0.66, 0.24, 0.09, 0.01
  assertEquals([...new Set(draw({ topP: 0.8 }, 200))].sort(), [1, 2]);
});

Deno.test("stop texts: nothing of a stop text is shown, however it is cut", () => {
  const text = "one ### two";
  for (let cut = 0; cut <= text.length; cut++) {
    const stops = new StopTexts(["###", "zzz"]);
    const shown = stops.push(text.slice(0, cut)) + stops.push(text.slice(cut)) + stops.end();
    assertEquals([shown, stops.found], ["one ", true]);
  }
});

Deno.test("stop texts: what only began like a stop text is shown at the end", () => {
  const stops = new StopTexts(["###"]);
  assertEquals([stops.push("a ##"), stops.push("b #"), stops.end()], ["a ", "##b ", "#"]);
});
