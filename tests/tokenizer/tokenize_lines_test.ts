import { assertEquals, assertRejects } from "@std/assert";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { decodeLines, encodeLines, mapLines } from "../../src/tokenizer/tokenize_lines.ts";
import { folder } from "./fixtures.ts";

const tokenizer = loadTokenizer(folder("llama"));

async function run(input: string | Uint8Array, mapper: Parameters<typeof mapLines>[1]) {
  const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
  const blocks = (async function* () { // cut everywhere, also inside of characters
    for (let i = 0; i < bytes.length; i += 3) yield await Promise.resolve(bytes.subarray(i, i + 3));
  })();
  let out = "";
  for await (const block of mapLines(blocks, mapper)) out += block;
  return out;
}

Deno.test("lines of texts become lines of ids and come back, however the input is cut", async () => {
  const texts = ["h\u00e9llo \u4e2d\u6587", "", "</s> x", "tail \u{1f600}"];
  const input = texts.map((text) => JSON.stringify({ text })).join("\n\n");
  const ids = await run(input, encodeLines(tokenizer, {}));
  assertEquals(ids.split("\n").length, texts.length + 1);
  const back = await run(ids, decodeLines(tokenizer, {}));
  const decoded = texts.map((text) => tokenizer.decode(tokenizer.encode(text)));
  assertEquals(back, decoded.map((text) => JSON.stringify({ text }) + "\n").join(""));
  const special = await run('{"text":"a"}', encodeLines(tokenizer, { special: true }));
  assertEquals(JSON.parse(special).ids[0], 1);
  assertEquals(await run(special, decodeLines(tokenizer, { skipSpecial: true })), '{"text":"a"}\n');
});

Deno.test("a line that is not what it must be is named", async () => {
  const encode = encodeLines(tokenizer, {}), decode = decodeLines(tokenizer, {});
  const rejects = (input: string | Uint8Array, mapper: typeof encode, message: string) =>
    assertRejects(() => run(input, mapper), TypeError, message);
  await rejects('{"text":"a"}\n\n{"text":1}', encode, 'line 3 of the input: "text" must be a str');
  await rejects("{}", encode, 'line 1 of the input: it must be an object with the field "text"');
  await rejects("[", encode, "line 1 of the input: expected");
  await rejects('{"ids":[1,2600]}', decode, "from 0 to 2599: current value is 2600");
  await rejects('{"ids":"1"}', decode, '"ids" must be an array of integers');
  await rejects(Uint8Array.of(34, 255, 34, 10), encode, "it is not UTF-8");
});
