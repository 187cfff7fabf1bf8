import { assertEquals } from "@std/assert";
import { applyOverrides } from "../../src/config/overrides.ts";

Deno.test("applyOverrides() sets nested values without changing the original", () => {
  const tree = { a: { b: 1, c: 2 }, d: null };
  const problems: string[] = [];
  const { value, origin } = applyOverrides(
    tree,
    ["a.b=3", "d.e.f=[1, x]", "g=", "h=a=b", "a.b=1e-4"],
    problems,
  );
  assertEquals(value, { a: { b: 1e-4, c: 2 }, d: { e: { f: [1, "x"] } }, g: null, h: "a=b" });
  assertEquals(tree, { a: { b: 1, c: 2 }, d: null });
  assertEquals(problems, []);
  assertEquals(["a", "a.b", "a.c", "d.e.f.0"].map(origin), [
    undefined,
    "--set #5",
    undefined,
    "--set #2",
  ]);
});

Deno.test("applyOverrides() reports each override that cannot be applied", () => {
  const problems: string[] = [];
  applyOverrides({ a: 1, l: [1] }, ["a", "=1", "a..b=1", "a.b=1", "l.0=2", "b=[1"], problems);
  assertEquals(problems, [
    "Cannot apply a as it must be KEY=VALUE or KEY.KEY=VALUE (--set #1)",
    "Cannot apply =1 as it must be KEY=VALUE or KEY.KEY=VALUE (--set #2)",
    "Cannot apply a..b=1 as it must be KEY=VALUE or KEY.KEY=VALUE (--set #3)",
    "Cannot apply a.b=1 as a must be a mapping of keys (--set #4)",
    "Cannot apply l.0=2 as l must be a mapping of keys (--set #5)",
    "Cannot parse YAML: unexpected end of the stream within a flow collection (--set #6:2:1)",
  ]);
});
