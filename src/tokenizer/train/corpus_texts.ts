/** The texts of a data file, as a stream. @module */
import { elements } from "../../formats/json_stream.ts";

const BLOCK_BYTES = 4 << 20;

/**
 * Yields the texts of a file: of `.json` and `.jsonl` files all strings of each sample but those under
 * the key `type`, of others the text itself in blocks. A block ends after a newline that no white space
 * follows, where no pre-tokenizer pattern known here has a piece across.
 *
 * @throws {SyntaxError} If it is not JSON, or not UTF-8
 */
export function* corpusTexts(path: string): Generator<string> {
  if (/\.jsonl?$/i.test(path)) {
    for (const { value } of elements(path)) yield* strings(value);
  } else yield* blocks(path);
}

function* strings(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  else if (Array.isArray(value)) { for (const entry of value) yield* strings(entry); }
  else if (typeof value === "object" && value !== null) {
    for (const [key, entry] of Object.entries(value)) if (key !== "type") yield* strings(entry);
  }
}

function* blocks(path: string): Generator<string> {
  using file = Deno.openSync(path);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const bytes = new Uint8Array(BLOCK_BYTES);
  let rest = "", offset = 0;
  for (;;) {
    const got = file.readSync(bytes);
    try {
      rest += decoder.decode(bytes.subarray(0, got ?? 0), { stream: got !== null });
    } catch (cause) {
      throw new SyntaxError(`Cannot read ${path}: it is not UTF-8 near byte ${offset}`, { cause });
    }
    if (got === null) break;
    offset += got;
    const cut = lastCut(rest);
    if (cut === 0) continue;
    yield rest.slice(0, cut);
    rest = rest.slice(cut);
  }
  if (rest !== "") yield rest;
}

/** Position after the last newline that is followed by a character other than white space. */
function lastCut(text: string): number {
  for (let at = text.length - 1; (at = text.lastIndexOf("\n", at - 1)) > 0;) {
    if (/\P{White_Space}/u.test(text[at + 1]!)) return at + 1;
  }
  return 0;
}
