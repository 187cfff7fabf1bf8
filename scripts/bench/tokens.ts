/** Made-up token samples: the speed of training does not depend on what the tokens say. @module */

/** Writes `rows` samples of `length` tokens as JSONL, the same ones every time. */
export function writeTokens(
  path: string,
  { rows, length, vocabSize }: { rows: number; length: number; vocabSize: number },
): void {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  let state = 1;
  const next = () => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    return state % vocabSize;
  };
  for (let row = 0; row < rows; row++) {
    const ids = Array.from({ length }, next);
    const line = JSON.stringify({ type: "tokens", input_ids: ids, labels: ids }) + "\n";
    let bytes = new TextEncoder().encode(line);
    while (bytes.length) bytes = bytes.subarray(file.writeSync(bytes));
  }
}
