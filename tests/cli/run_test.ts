import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../../src/cli/commands.ts";
import { describeError } from "../../src/cli/describe_error.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { llmpipe, ROOT } from "./start.ts";

Deno.test("--help lists every command that is not hidden", async () => {
  const { code, stdout, stderr } = await llmpipe("--help");
  assertEquals([code, stderr], [0, ""]);
  for (const { name, summary, hidden } of COMMANDS) {
    assertEquals(stdout.includes(`  ${name.padEnd(9)}  ${summary}\n`), !hidden, name);
  }
});

Deno.test("COMMAND --help shows its usage without loading it", async () => {
  for (const { name, usage } of COMMANDS) {
    const { code, stdout } = await llmpipe(name, "--help");
    assertEquals(code, 0);
    for (const line of usage) assertStringIncludes(stdout, `llmpipe ${name} ${line}`.trim());
    assertEquals((await llmpipe("help", name)).stdout, stdout);
  }
});

Deno.test("every command of the table has a module that exports it", async () => {
  for (const { name } of COMMANDS) {
    const module = await import(`../../src/cli/${name}.ts`);
    assertEquals(typeof module[name], "function", name);
  }
});

Deno.test("the README lists the commands as the help does", async () => {
  const readme = await Deno.readTextFile(`${ROOT}/README.md`);
  const rows = [...readme.matchAll(/^\| `llmpipe (\w+)` +\| (.*?) +\|$/gm)];
  const listed = COMMANDS.filter(({ hidden }) => !hidden);
  assertEquals(
    rows.map(([, name, summary]) => [name, summary]),
    listed.map(({ name, summary }) => [name, summary]),
  );
});

Deno.test("no line of the help is wider than 100 columns", async () => {
  for (const name of ["--help", ...COMMANDS.map((command) => command.name)]) {
    const { stdout } = await llmpipe("help", ...(name === "--help" ? [] : [name]));
    assertEquals(stdout.split("\n").filter((line) => line.length > 100), []);
  }
});

Deno.test("an unknown command is wrong usage and gets a suggestion", async () => {
  const { code, stdout, stderr } = await llmpipe("genrate", "--prompt", "x");
  assertEquals([code, stdout], [2, ""]);
  assertEquals(
    stderr,
    'llmpipe: Cannot run "genrate": no such command, did you mean "generate"?\n',
  );
});

Deno.test("no command is wrong usage and shows the help on stderr", async () => {
  const { code, stdout, stderr } = await llmpipe();
  assertEquals([code, stdout], [2, ""]);
  assertStringIncludes(stderr, "Usage: llmpipe COMMAND");
});

Deno.test("a wrong flag is wrong usage and points to the help of the command", async () => {
  const { code, stdout, stderr } = await llmpipe("generate", "--model-pth", "x");
  assertEquals([code, stdout], [2, ""]);
  assertStringIncludes(stderr, "--model-path");
  assertMatch(stderr, /Try: llmpipe generate --help\n$/);
});

Deno.test("--version names version, commit, Deno and backends, one per line", async () => {
  const { code, stdout } = await llmpipe("--version");
  assertEquals(code, 0);
  assertMatch(
    stdout,
    /^llmpipe \d+\.\d+\.\d+\ncommit \w+\+?\ndeno \d+\.\d+\.\d+ .*\nbackends [\w, ]+\n$/,
  );
});

Deno.test("an error is told with its causes, and with its stack only when debugging", () => {
  const cause = new Error("Cannot open a.safetensors", { cause: new Error("No such file") });
  const error = new ConfigError("Cannot load the model", { cause });
  const short = describeError(error);
  assertEquals(
    short,
    "llmpipe: Cannot load the model\n" +
      "  because: Cannot open a.safetensors\n" +
      "  because: No such file",
  );
  const long = describeError(error, { debug: true });
  assertStringIncludes(long, "run_test.ts:");
  assert(!short.includes("run_test.ts"));
});

Deno.test("a fault of the program itself says how to see where", () => {
  const broken = () => (undefined as unknown as { x: number }).x;
  let text = "";
  try {
    broken();
  } catch (error) {
    text = describeError(error);
  }
  assertStringIncludes(text, "llmpipe --debug COMMAND");
});

Deno.test("a reader that goes away is not an error to shout about", async () => {
  const command = new Deno.Command("sh", {
    args: ["-c", `"${Deno.execPath()}" run -A --quiet main.ts --help | head -c 1`],
    stderr: "piped",
  });
  const { stderr } = await command.output();
  assertEquals(new TextDecoder().decode(stderr), "");
});
