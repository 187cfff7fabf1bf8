import { assertEquals, assertThrows } from "@std/assert";
import { decayRule } from "../../src/optim/param_groups.ts";

Deno.test("decayRule() matches names anywhere, as the reference runs did", () => {
  const decays = decayRule(["bias", "[a-zA-Z]*norm"]);
  const cases: [string, boolean][] = [
    ["0.embed_tokens.weight", true],
    ["1.self_attn.q_proj.weight", true],
    ["1.self_attn.q_proj.bias", false],
    ["1.input_layernorm.weight", false],
    ["3.norm.weight", false],
    ["3.lm_head.weight", true],
    ["tied_modules.embed.word_embeddings.weight", true],
    ["tied_modules.embed.word_embeddings_layernorm.weight", false],
  ];
  for (const [name, expected] of cases) assertEquals(decays(name), expected, name);
});

Deno.test("decayRule() lets everything decay without patterns", () => {
  assertEquals(decayRule([])("1.norm.weight"), true);
});

Deno.test("decayRule() refuses a pattern that is none", () => {
  assertThrows(() => decayRule(["("]), SyntaxError);
});
