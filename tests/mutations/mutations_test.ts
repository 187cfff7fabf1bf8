/** The table of seeded bugs does not rot: `scripts/mutations` can still seed each of them. @module */
import { assert, assertEquals } from "@std/assert";
import { countOf, MUTATIONS } from "./all.ts";

const read = (path: string) => Deno.readTextFileSync(new URL(path, import.meta.url));

Deno.test("every seeded bug has its place in the sources", () => {
  assert(MUTATIONS.length >= 40);
  for (const { bug, file, find, change = find, put, test: [path] } of MUTATIONS) {
    assertEquals(
      countOf(read(`../../csrc/${file}`), find),
      1,
      `"${bug}": csrc/${file} must hold once what tests/mutations looks for: ${find}`,
    );
    assertEquals(countOf(find, change), 1, `"${bug}": what is changed must stand once in: ${find}`);
    assert(put !== change, `"${bug}" changes nothing`);
    assert(Deno.statSync(new URL(`../${path}`, import.meta.url)).isFile);
  }
});

Deno.test("the table of seeded bugs names a mode and a message for each", () => {
  const table = read("TABLE.md");
  for (const { bug } of MUTATIONS) {
    const line = table.split("\n").find((line) => line.startsWith(`| ${bug} `));
    assert(
      line !== undefined,
      `"${bug}" must be in tests/mutations/TABLE.md: run scripts/mutations`,
    );
    const [, mode, message] = line.slice(1, -1).split(" | ").map((cell) => cell.trim());
    assert(["plain", "deferred", "guard", "race", "asan"].includes(mode!), line);
    assert(message !== undefined && message.length > 3, line);
  }
});
