/**
 * Asks the demo's model the questions that were held out of training: every few of
 * QUESTIONS.jsonl, through `./llmpipe generate`. Fails when too few answers are right.
 *
 *   deno run -A scripts/demo_score.ts QUESTIONS.jsonl MODEL_DIR
 * @module
 */
import { fromFileUrl } from "@std/path";

/** A line of the file of questions. */
interface Question {
  type: string;
  prompt: string;
  answer: string;
}

const PER_TYPE = 6;
const LEAST_RIGHT = 0.75;
const PROGRAM = fromFileUrl(new URL("../llmpipe", import.meta.url));

const [file, model] = Deno.args;
if (file === undefined || model === undefined) {
  console.error("Usage: deno run -A scripts/demo_score.ts QUESTIONS.jsonl MODEL_DIR");
  Deno.exit(2);
}
const lines = (await Deno.readTextFile(file)).trim().split("\n");
const questions: Question[] = lines.map((line) => JSON.parse(line));
let right = 0, asked = 0;
for (const [type, all] of Map.groupBy(questions, (question) => question.type)) {
  console.log(`\n${type}`);
  for (const { prompt, answer } of spread(all, PER_TYPE)) {
    const given = await generate(model, prompt);
    const isRight = given === answer;
    asked++;
    right += Number(isRight);
    console.log(`  ${isRight ? "right" : "WRONG"}  ...${lastLine(prompt)}`);
    console.log(`         ${show(given)}${isRight ? "" : `   expected ${show(answer)}`}`);
  }
}
console.log(`\n${right} of ${asked} held-out questions answered correctly`);
if (right < LEAST_RIGHT * asked) {
  console.error(`Expected at least ${LEAST_RIGHT * 100} % of them`);
  Deno.exit(1);
}

/** `count` elements at even distances. */
function spread<T>(all: T[], count: number): T[] {
  const step = Math.max(1, all.length / count);
  return Array.from({ length: Math.min(count, all.length) }, (_, i) => all[Math.floor(i * step)]!);
}

async function generate(model: string, prompt: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(PROGRAM, {
    args: ["generate", "--model-path", model, `--prompt=${prompt}`, "--max-new-tokens", "64"],
  }).output();
  if (!success) throw new Error(`Cannot generate:\n${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).trim();
}

/** The question, without the instructions around it. */
function lastLine(prompt: string): string {
  const told = prompt.trim().split("\n").filter((line) => line && !line.startsWith("###"));
  return told.slice(-2).join(" / ").slice(-90);
}

function show(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}...` : text);
}
