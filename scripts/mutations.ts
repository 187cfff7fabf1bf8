/**
 * The mutation run: each bug of tests/mutations is seeded, and some mode of the emulated tests has to
 * find it. Takes long, so it runs by hand:
 *
 *     scripts/mutations [--modes plain,race,...] [--missing] [WORDS OF A BUG...]
 *
 * Without words, and for the word "control" alone, the tests have to find nothing where there is no
 * bug. --missing leaves out what the table has found.
 *
 * All bugs are compiled into one copy of the sources, each behind the number of its mutant, which the
 * environment then gives: one build per kind instead of one per bug.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { countOf, type Mode, type Mutation, MUTATIONS } from "../tests/mutations/all.ts";

const COPY = "build/mutations";
const TABLE = "tests/mutations/TABLE.md";
/** The kind of library that a mode needs, and what the emulation is told. */
const MODES: Record<Mode, { kind: string; env: Record<string, string> }> = {
  plain: { kind: "plain", env: {} },
  deferred: { kind: "plain", env: { LLMPIPE_EMU_STREAMS: "deferred" } },
  guard: { kind: "plain", env: { LLMPIPE_EMU_GUARD: "1" } },
  race: { kind: "race", env: {} },
  asan: { kind: "asan", env: {} },
};
/** Widths of attention that the tests of the bugs do not need: templates that take long to build. */
const UNUSED_WIDTHS = [80, 96, 128];

/** A bug and its number, from 1; 0 is none. */
interface Mutant extends Mutation {
  number: number;
}
const MUTANTS: Mutant[] = MUTATIONS.map((mutation, i) => ({ ...mutation, number: i + 1 }));

/** Writes the copy of csrc that holds all bugs. */
function seed(): void {
  const run = (...args: string[]) => {
    const { success } = new Deno.Command(args[0]!, { args: args.slice(1) }).outputSync();
    if (!success) throw new Error(`Cannot run ${args.join(" ")}`);
  };
  Deno.mkdirSync(`${COPY}/scripts`, { recursive: true });
  Deno.mkdirSync(`${COPY}/new`, { recursive: true });
  run("rm", "-rf", `${COPY}/new`);
  run("cp", "-r", "csrc", `${COPY}/new`);
  const edit = (file: string, change: (text: string) => string) => {
    const path = `${COPY}/new/${file}`;
    Deno.writeTextFileSync(path, change(Deno.readTextFileSync(path)));
  };
  for (const file of new Set(MUTANTS.map(({ file }) => file))) {
    edit(file, (text) => seedFile(text, MUTANTS.filter((mutant) => mutant.file === file)));
  }
  edit(
    "common/host_device.h",
    (text) => text.replace("#ifdef", 'extern "C" int emu_mutant;\n#ifdef'),
  );
  edit("emu/control.cpp", (text) =>
    `${text}
extern "C" {\nLP_API int emu_mutant = emu::number("LLMPIPE_EMU_MUTANT", 0);\n}\n`);
  edit(
    "cuda/attention.h",
    (text) =>
      UNUSED_WIDTHS.reduce(
        (text, K) => text.replace(` || K == ${K}`, "").replace(new RegExp(`  case ${K}: .*\n`), ""),
        text,
      ),
  );
  edit("emu/CMakeLists.txt", (text) => text.replace("set(all -g1", "set(all -g0"));
  // Files that did not change keep their time, so that only what changed is built again
  run(
    "sh",
    "-c",
    `mkdir -p ${COPY}/csrc && cd ${COPY}/new && find . -type f | while read -r f; do
    cmp -s "$f" "../csrc/$f" || { mkdir -p "$(dirname "../csrc/$f")"; cp "$f" "../csrc/$f"; }; done`,
  );
  run("cp", "scripts/build_emulated", `${COPY}/scripts`);
}

/** All bugs of one file. Bugs of the same place, which `find` and `change` mark, exclude each other. */
function seedFile(text: string, mutants: Mutant[]): string {
  const places = new Map<string, { at: number; old: string; mutants: Mutant[] }>();
  for (const mutant of mutants) {
    const { find, change = find } = mutant;
    if (countOf(text, find) !== 1) throw new Error(`No place for "${mutant.bug}"`);
    const at = text.indexOf(find) + find.indexOf(change);
    const place = places.get(`${at}`) ?? { at, old: change, mutants: [] };
    place.mutants.push(mutant);
    places.set(`${at}`, place);
  }
  let seeded = text;
  for (const { at, old, mutants } of [...places.values()].sort((a, b) => b.at - a.at)) {
    const changed = mutants.reduce(
      (rest, { number, put, isExpression }) =>
        isExpression
          ? `(emu_mutant == ${number} ? (${put}) : ${rest})`
          : `if (emu_mutant == ${number}) { ${put}\n } else { ${rest}\n }`,
      mutants[0]!.isExpression ? `(${old})` : old,
    );
    seeded = seeded.slice(0, at) + changed + seeded.slice(at + old.length);
  }
  return seeded;
}

async function build(kind: string): Promise<void> {
  const { success } = await new Deno.Command(`${COPY}/scripts/build_emulated`, {
    args: [kind],
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot build ${kind}`);
}

/** Runs a test with a mutant; what the first failure says, or null when nothing failed. */
async function run(
  mutant: number,
  mode: Mode,
  [file, words]: readonly [string, string?],
): Promise<string | null> {
  const { kind, env } = MODES[mode];
  const suffix = kind === "plain" ? "" : `_${kind}`;
  const command = [
    Deno.execPath(),
    ...["test", "--allow-all", "--no-check", "--fail-fast", `tests/${file}`],
    ...(words === undefined ? [] : ["--filter", words]),
  ];
  const child = new Deno.Command("timeout", {
    args: ["900", ...command],
    env: {
      ...env,
      ...(kind === "asan" ? sanitizer() : {}),
      NO_COLOR: "1",
      LLMPIPE_HOME: `${Deno.cwd()}/${COPY}/build/cudaemu`,
      LLMPIPE_TEST_BACKENDS: `cudaemu${suffix}`,
      LLMPIPE_EMU_MUTANT: `${mutant}`,
      LLMPIPE_EMU_TIMEOUT: "20",
    },
  });
  const { success, code, signal, stdout, stderr } = await child.output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  if (success) {
    if (/\b0 passed/.test(text)) throw new Error(`No test of ${file} has "${words}" in its name`);
    return null;
  }
  return describe(text) ?? (code === 124 ? "no end in 900 s" : `ended by ${signal ?? code}`);
}

/** What Deno, which is not instrumented, needs to open a library of AddressSanitizer. */
function sanitizer(): Record<string, string> {
  const path = (library: string) =>
    new TextDecoder().decode(
      new Deno.Command("g++", { args: [`-print-file-name=${library}`] }).outputSync().stdout,
    ).trim();
  return {
    LD_PRELOAD: ["libasan.so", "libubsan.so", "libstdc++.so"].map(path).join(" "),
    ASAN_OPTIONS: "detect_leaks=0:handle_segv=0:allocator_may_return_null=1",
    UBSAN_OPTIONS: "halt_on_error=1",
  };
}

/** The message of a failure, short: what kind of finding it is. */
function describe(text: string): string | null {
  const asan = /AddressSanitizer: (\S+)/.exec(text)?.[1];
  if (asan !== undefined) return `AddressSanitizer: ${asan}`;
  const ubsan = /runtime error: (.*?)(?: 0x|,| \(|$)/m.exec(text)?.[1];
  if (ubsan !== undefined) return `UBSan: ${ubsan}`;
  const kernel = /kernel (\w+): ([^\n]*)/.exec(text);
  if (kernel) {
    const message = kernel[2]!.replace(/^block .*?\) thread .*?\): /, "");
    return `kernel ${kernel[1]}: ${message.replace(/(:| \(cuda).*/, "")}`;
  }
  const bits = /differs in its bits/.test(text);
  if (bits) return "bits depend on the order of threads or streams";
  const error = /error: (?:\(in promise\) )?(\w+): ([^\n]*)/.exec(text);
  if (!error) return null;
  const [, , message] = error;
  if (/must be \S+, found/.test(message!)) return "wrong numbers";
  if (/strictly deep-equal/.test(message!)) return "wrong numbers";
  return message!.slice(0, 90);
}

const { modes: asked = Object.keys(MODES).join(), missing, _: rest } = parseArgs(Deno.args, {
  string: ["modes", "_"],
  boolean: ["missing"],
});
const tried = (asked as string).split(",") as Mode[];
const words = rest.join(" ");
const results = new Map<string, string>(readTable());
const chosen = MUTANTS.filter(({ bug, modes }) =>
  bug.includes(words) && modes.some((mode) => tried.includes(mode)) &&
  !(missing && /^(?!nobody)/.test(results.get(bug) ?? "nobody"))
);
seed();
const kinds = new Set(tried.map((mode) => MODES[mode].kind));
for (const kind of kinds) await build(kind);
if (words === "" || words === "control") {
  results.set(...(await control()));
  writeTable();
}
let missed = 0;
for (const { bug, number, modes, test } of chosen) {
  let row = "nobody |";
  for (const mode of modes.filter((mode) => tried.includes(mode))) {
    const found = await run(number, mode, test);
    if (found === null) continue;
    row = `${mode} | ${found.replaceAll("|", "/")}`;
    break;
  }
  if (row.startsWith("nobody")) missed++;
  console.log(`${bug} | ${row}`);
  results.set(bug, row);
  writeTable();
}
await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", TABLE] }).output();
console.log(`${chosen.length - missed} of ${chosen.length} bugs were found`);
Deno.exit(missed === 0 ? 0 : 1);

/** Nothing may be found where there is no bug: every test that is to find one, in all its modes. */
async function control(): Promise<[string, string]> {
  const runs = new Map<string, [Mode, Mutation["test"]]>();
  for (const { modes, test } of MUTANTS) {
    for (const mode of modes.filter((mode) => tried.includes(mode))) {
      runs.set(`${mode} ${test.join(" ")}`, [mode, test]);
    }
  }
  for (const [mode, test] of runs.values()) {
    const found = await run(0, mode, test);
    console.log(`control | ${mode} | ${test.join(" ")} | ${found ?? "passes"}`);
    if (found !== null) throw new Error(`Without a bug, ${mode} ${test} says: ${found}`);
  }
  return [
    "none (control)",
    `none of ${tried.join(", ")} | ${runs.size} runs of the tests below pass`,
  ];
}

function readTable(): [string, string][] {
  try {
    return Deno.readTextFileSync(TABLE).split("\n").filter((line) => line.startsWith("| "))
      .slice(2).map((line) => {
        const [bug, mode, message] = line.slice(2, -2).split(" | ").map((cell) => cell.trim());
        return [bug!, `${mode} | ${message ?? ""}`];
      });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function writeTable(): void {
  const rows = ["none (control)", ...MUTANTS.map(({ bug }) => bug)].filter((bug) =>
    results.has(bug)
  )
    .map((bug) => `| ${bug} | ${results.get(bug)} |`);
  Deno.writeTextFileSync(
    TABLE,
    `# Seeded bugs, and who finds them

Written by \`scripts/mutations\`, which seeds the bugs of this folder one at a time into the CUDA
backend and runs the test that is to find each in one mode after another, until one does: plain
(numbers, thread orders), deferred (streams run as late as they may), guard (device memory cannot be
read by the host), race (the race detector), asan (AddressSanitizer and UBSan).

| bug | found by | as |
| --- | --- | --- |
${rows.join("\n")}
`,
  );
}
