/** Decoders of tokenizer.json: tokens to text. @module */
import { fromByteAlphabet } from "../byte_alphabet.ts";
import {
  type DecoderStage,
  fuse,
  joinStages,
  stripStart,
  type TextSink,
  wholeTokens,
} from "../text_sink.ts";
import type { Component } from "./component.ts";
import { readPattern, replaceMatches } from "./pattern.ts";

/** Makes a decoder. @throws {TypeError} If it is not supported */
export function makeDecoder(component: Component | undefined): DecoderStage {
  if (component === undefined) return wholeTokens((token, i) => [i === 0 ? token : ` ${token}`]);
  switch (component.type) {
    case "Sequence":
      return joinStages(component.children("decoders").map(makeDecoder));
    case "ByteLevel":
      return byteLevel;
    case "ByteFallback":
      return byteFallback;
    case "Fuse":
      return fuse;
    case "Replace": {
      const pattern = readPattern(component, "pattern"), content = component.text("content");
      return wholeTokens((token) => [replaceMatches(token, pattern, content)]);
    }
    case "Strip": {
      const stop = component.number("stop");
      const start = stripStart(component.text("content"), component.number("start"));
      return stop === 0 ? start : joinStages([start, stripEnd(component.text("content"), stop)]);
    }
    case "Metaspace": {
      const meta = component.text("replacement");
      const never = component.text("prepend_scheme", "always") === "never" ||
        component.raw("add_prefix_space") === false;
      return wholeTokens((token, i) => [token.replaceAll(meta, i === 0 && !never ? "" : " ")]);
    }
  }
  throw component.unsupported();
}

/** Joins the bytes of all tokens; the text of whole characters is passed on at once. */
function byteLevel(next: TextSink): TextSink {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let token = ""; // whether it is in the byte alphabet is known at its end
  return {
    text: (fragment) => void (token += fragment),
    endToken() {
      const text = decoder.decode(fromByteAlphabet(token), { stream: true });
      token = "";
      if (text !== "") next.text(text);
    },
    end() {
      const text = decoder.decode();
      if (text !== "") next.text(text);
      next.endToken();
      next.end();
    },
  };
}

/** Joins runs of byte tokens `<0x41>`: as a whole they are UTF-8, or each is U+FFFD. */
function byteFallback(next: TextSink): TextSink {
  let run: number[] = [];
  const flush = () => {
    const tokens = run.length === 0 ? [] : textOfRun(run);
    run = [];
    return tokens;
  };
  return wholeTokens((token) => {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (byte) {
      run.push(parseInt(byte[1]!, 16));
      return [];
    }
    return [...flush(), token];
  }, flush)(next);
}

function textOfRun(bytes: number[]): string[] {
  try {
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return [strict.decode(Uint8Array.from(bytes))];
  } catch {
    return bytes.map(() => "\ufffd");
  }
}

function stripEnd(content: string, count: number): DecoderStage {
  return wholeTokens((token) => {
    for (let i = 0; i < count && token.endsWith(content); i++) {
      token = token.slice(0, -content.length);
    }
    return [token];
  });
}
