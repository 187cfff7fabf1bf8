import { assertEquals } from "@std/assert";
import { isProgramFault, messagesOf } from "../../src/launch/error_text.ts";

Deno.test("messagesOf() leaves out causes that repeat what stands above them", () => {
  const system = new Error("File too large (os error 27)");
  const named = new Error("Cannot write a.bin: File too large (os error 27)", { cause: system });
  assertEquals(messagesOf(named), ["Cannot write a.bin: File too large (os error 27)"]);
  const outer = new Error("Cannot save step 3", { cause: named });
  assertEquals(messagesOf(outer), ["Cannot save step 3", named.message]);
  assertEquals(messagesOf(new Error("", { cause: "a word" })), ["Error", "a word"]);
  assertEquals(messagesOf(undefined), []);
});

Deno.test("isProgramFault() tells mistakes of ours from what a check refused", () => {
  const caught = (work: () => unknown): unknown => {
    try {
      return work();
    } catch (error) {
      return error;
    }
  };
  const nothing = undefined as unknown as { length: number; (): void };
  const faults = [
    () => nothing.length,
    () => nothing(),
    () => new Array(-1),
    () => (0 as unknown as { x(): void }).x(),
  ];
  assertEquals(faults.map((work) => isProgramFault(caught(work))), [true, true, true, true]);
  const refusals = [
    new RangeError("Cannot update the weights at step 3 as a gradient is not finite"),
    new TypeError("Cannot open a.tokens: it is not a token file"),
    new Deno.errors.NotFound("No such file or directory"),
    "a word",
  ];
  assertEquals(refusals.map(isProgramFault), [false, false, false, false]);
});
