/**
 * Cuts the texts of unpacked documentation packages into samples of type pretrain, one per line.
 *
 *   deno run -A scripts/corpus.ts PACKAGES FILE.jsonl [--bytes N]
 *
 * A sample is a run of whole paragraphs of at most N bytes (default 1800, about 512 tokens of a
 * vocabulary of 32,000); a longer paragraph is cut at a blank.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { join } from "@std/path";

const LEAST_BYTES = 10e6;
const encoder = new TextEncoder();

/** Texts of a package: `*.txt.gz`, `*.txt` below share/doc, and fortunes (no extension). */
const TEXT = /\.txt\.gz$|\/share\/doc\/.*\.txt$|\/games\/fortunes\/[\w/-]+$/;

function* filesBelow(dir: string): Generator<string> {
  const entries = [...Deno.readDirSync(dir)].sort((a, b) => a.name < b.name ? -1 : 1);
  for (const { name, isDirectory, isFile } of entries) {
    const path = join(dir, name);
    if (isDirectory) yield* filesBelow(path);
    else if (isFile && TEXT.test(path)) yield path;
  }
}

async function readText(path: string): Promise<string> {
  const { readable } = await Deno.open(path);
  const bytes = path.endsWith(".gz")
    ? readable.pipeThrough(new DecompressionStream("gzip"))
    : readable;
  const text = await new Response(bytes).arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(text);
  } catch {
    return new TextDecoder("iso-8859-1").decode(text);
  }
}

/** Paragraphs; in fortunes a line of one percent sign ends one. */
function paragraphs(text: string): string[] {
  return text.replaceAll("\r", "").split(/\n%\n|\n\s*\n/)
    .map((part) => part.replace(/[ \t]+$/gm, "").replace(/^\n+|\n+$/g, ""))
    .filter((part) => /\p{L}/u.test(part));
}

function* pieces(paragraph: string, most: number): Generator<string> {
  let rest = paragraph;
  while (encoder.encode(rest).length > most) {
    let end = Math.min(rest.length, most);
    while (encoder.encode(rest.slice(0, end)).length > most) end = Math.floor(end * 0.9);
    const blank = Math.max(rest.lastIndexOf(" ", end), rest.lastIndexOf("\n", end));
    if (blank > end / 2) end = blank;
    else if (/[\ud800-\udbff]/.test(rest[end - 1]!)) end--;
    yield rest.slice(0, end);
    rest = rest.slice(end).trimStart();
  }
  if (rest !== "") yield rest;
}

function* samples(text: string, most: number): Generator<string> {
  let sample = "";
  for (const piece of paragraphs(text).flatMap((part) => [...pieces(part, most)])) {
    const joined = sample === "" ? piece : `${sample}\n\n${piece}`;
    if (encoder.encode(joined).length <= most) sample = joined;
    else {
      yield sample;
      sample = piece;
    }
  }
  if (sample !== "") yield sample;
}

const args = parseArgs(Deno.args, { string: ["_"], default: { bytes: 1800 } });
const [packages, output] = args._.map(String);
if (packages === undefined || output === undefined || !(args.bytes >= 16)) {
  console.error("Usage: deno run -A scripts/corpus.ts PACKAGES FILE.jsonl [--bytes N]");
  Deno.exit(2);
}
using file = Deno.openSync(output, { write: true, create: true, truncate: true });
let count = 0, bytes = 0;
for (const path of filesBelow(packages)) {
  let lines = "";
  for (const text of samples(await readText(path), args.bytes)) {
    lines += JSON.stringify({ type: "pretrain", text }) + "\n";
    bytes += encoder.encode(text).length;
    count++;
  }
  const data = encoder.encode(lines);
  for (let at = 0; at < data.length;) at += file.writeSync(data.subarray(at));
}
console.error(`${count} samples, ${(bytes / 1e6).toFixed(1)} MB of text in ${output}`);
if (bytes < LEAST_BYTES) {
  console.error(`Expected at least ${LEAST_BYTES / 1e6} MB: a package is not what it was`);
  Deno.exit(1);
}
