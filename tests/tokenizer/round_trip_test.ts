import { assertEquals, assertThrows } from "@std/assert";
import { loadTokenizer } from "../../src/tokenizer/mod.ts";
import { folder, random, randomText } from "./fixtures.ts";

const LOSSLESS = ["bloom", "llama3", "llama"]; // qwen normalizes, unigram drops spaces

for (const name of LOSSLESS) {
  Deno.test(`${name} gives every text back, made of random bytes or of random characters`, () => {
    const tokenizer = loadTokenizer(folder(name)), next = random(5);
    for (let round = 0; round < 1500; round++) {
      const bytes = Uint8Array.from({ length: next(40) }, () => next(256));
      const text = round % 2 === 0
        ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
        : randomText(next, 30);
      if (name === "llama" && /[\u2581<]/.test(text)) continue; // U+2581 is a space to it
      assertEquals(tokenizer.decode(tokenizer.encode(text)), text, JSON.stringify(text));
    }
  });
}

for (const name of ["bloom", "llama3", "qwen"]) {
  Deno.test(`${name} decodes the tokens of random bytes to exactly what UTF-8 makes of them`, () => {
    const tokenizer = loadTokenizer(folder(name)), next = random(6);
    const json = JSON.parse(Deno.readTextFileSync(`${folder(name)}/tokenizer.json`));
    const alphabet = byteAlphabet().map((c) => json.model.vocab[c] as number);
    for (let round = 0; round < 1500; round++) {
      const bytes = Uint8Array.from(
        { length: next(24) },
        () => next(4) ? 128 + next(128) : next(256),
      );
      const ids = [...bytes].map((b) => alphabet[b]!);
      const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
      assertEquals(tokenizer.decode(ids), text);
    }
  });
}

for (const name of ["bloom", "qwen", "llama", "mixtral", "baichuan2", "chatglm3"]) {
  Deno.test(`${name} streams no half character, and in all what decode() gives`, () => {
    const tokenizer = loadTokenizer(folder(name)), next = random(7);
    for (let round = 0; round < 400; round++) {
      const ids = round % 2 === 0
        ? tokenizer.encode(randomText(next, 20))
        : Int32Array.from({ length: next(20) }, () => next(tokenizer.vocabSize));
      const skipSpecial = next(2) === 1, stream = tokenizer.decodeStream({ skipSpecial });
      const parts = [...ids].map((id) => stream.push(id));
      parts.push(stream.end());
      assertEquals(parts.join(""), tokenizer.decode(ids, { skipSpecial }));
      assertEquals(parts.every((part) => part.isWellFormed()), true);
      if (round % 2 === 0) assertEquals(parts.join("").includes("\ufffd"), false);
    }
  });
}

Deno.test("decode() refuses what is not an id", () => {
  const tokenizer = loadTokenizer(folder("bloom"));
  for (const id of [-1, 3000, 0.5, NaN]) {
    assertThrows(() => tokenizer.decode([1, id]), RangeError, `from 0 to 2999: current value is`);
  }
});

function byteAlphabet(): string[] {
  let others = 0;
  return Array.from({ length: 256 }, (_, b) => {
    const isPrintable = (b > 32 && b < 127) || (b > 160 && b < 173) || b > 173;
    return String.fromCharCode(isPrintable ? b : 256 + others++);
  });
}
