import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../../src/config/config_error.ts";
import { generate } from "../../src/inference/generate.ts";
import { withTokenizer } from "./with_tokenizer.ts";

function answer(modelPath: string, prompt: string, chat: boolean): string {
  const options = {
    maxNewTokens: 12,
    temperature: 0,
    topK: 0,
    topP: 1,
    seed: 0,
    stop: [],
    threads: 1,
  };
  return [...generate({ modelPath, prompt, chat, ...options })].join("");
}

Deno.test("generate() with chat answers to the prompt as the template writes it", () => {
  const template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}" +
    "{% if add_generation_prompt %}<assistant>{% endif %}";
  using model = withTokenizer("qwen2", { template });
  assertEquals(
    answer(model.dir, "hello", true),
    answer(model.dir, "<user>hello<assistant>", false),
  );
  assertNotEquals(answer(model.dir, "hello", true), "");
});

Deno.test("generate() with chat says that there is no chat template", () => {
  using model = withTokenizer("qwen2");
  assertThrows(() => answer(model.dir, "hello", true), ConfigError, "has no chat template");
});
