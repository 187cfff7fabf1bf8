import { assertEquals } from "@std/assert";
import { editDistance, nearest } from "../../src/config/nearest.ts";

Deno.test("editDistance() counts insertions, deletions, replacements and swaps", () => {
  const cases: [string, string, number][] = [
    ["", "", 0],
    ["", "abc", 3],
    ["abc", "abc", 0],
    ["abc", "acb", 1],
    ["kitten", "sitting", 3],
    ["dims", "dim", 1],
  ];
  for (const [a, b, expected] of cases) {
    assertEquals(editDistance(a, b), expected, `${a} ${b}`);
    assertEquals(editDistance(b, a), expected, `${b} ${a}`);
  }
});

Deno.test("nearest() suggests what is near, and nothing else", () => {
  const known = ["train_batch_size", "steps_per_print", "lr", "eps", "dims"];
  assertEquals(nearest("train_batchsize", known), "train_batch_size");
  assertEquals(nearest("train-batch-size", known), "train_batch_size");
  assertEquals(nearest("DIMS", known), "dims");
  assertEquals(nearest("learning_rate", known), undefined);
  assertEquals(nearest("zz", known), undefined);
  assertEquals(nearest("x", []), undefined);
  assertEquals(nearest("a", ["aio"]), undefined);
  assertEquals(nearest("l", ["lr"]), "lr");
});
