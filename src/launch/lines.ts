/** The lines of a stream of text, as they come. @module */

/** Longest line that is kept together, in characters. */
const LONGEST_LINE = 1 << 20;

/**
 * Calls `use` with each line, without its end. `\r` ends a line as well, so that what redraws one
 * line on a terminal is seen; the rest without an end comes when the stream ends.
 */
export async function eachLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  use: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    lines.forEach(use);
    if (rest.length > LONGEST_LINE) {
      use(rest);
      rest = "";
    }
  }
  if (rest !== "") use(rest.replace(/\r$/, ""));
}
