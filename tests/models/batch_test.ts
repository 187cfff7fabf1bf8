/** Positions and visible keys of rows with samples of several lengths and padding. */
import { assertEquals } from "@std/assert";
import { causalSpans } from "../../src/models/batch.ts";
import type { SpanRule } from "../../src/models/model.ts";

/** Two samples and two places of padding. */
const PACKED = Int32Array.of(1, 1, 1, 1, 2, 2, 0, 0);
const LEFT = Int32Array.of(0, 0, 1, 1, 1, 1, 1, 1);

function spans(segments: Int32Array, rule?: SpanRule) {
  const { positions, begin, end } = causalSpans({ B: 1, S: segments.length, segments }, rule);
  return [positions, begin, end].map((values) => values.join(" "));
}

Deno.test("a token sees its sample up to itself, padding the sample before it", () => {
  assertEquals(spans(PACKED), ["0 1 2 3 0 1 0 0", "0 0 0 0 4 4 4 4", "1 2 3 4 5 6 6 6"]);
  assertEquals(spans(LEFT), ["0 0 0 1 2 3 4 5", "0 0 2 2 2 2 2 2", "0 0 3 4 5 6 7 8"]);
});

Deno.test("a window moves the first visible key inside the sample", () => {
  const window = 2;
  assertEquals(spans(PACKED, { window })[1], "0 0 1 2 4 4 5 6");
  assertEquals(spans(LEFT, { window })[1], "0 0 2 2 3 4 5 6");
});

Deno.test("positions may count over the row, and padding may see the row", () => {
  const rule: SpanRule = { positions: "row", padding: "sees the row" };
  assertEquals(spans(PACKED, rule), ["0 1 2 3 4 5 6 7", "0 0 0 0 4 4 4 4", "1 2 3 4 5 6 8 8"]);
  assertEquals(spans(LEFT, rule), ["0 1 2 3 4 5 6 7", "0 0 2 2 2 2 2 2", "0 0 3 4 5 6 7 8"]);
});
