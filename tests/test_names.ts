/** The names of the tests that files declare. @module */
import { fromFileUrl } from "@std/path";

/** Names of the tests in files of this folder, such as `models/family_test.ts`; those ignored left out. */
export async function testNames(files: readonly string[]): Promise<Set<string>> {
  const names = new Set<string>();
  const { test } = Deno;
  const record = (given: string | Deno.TestDefinition) => {
    if (typeof given === "string") names.add(given);
    else if (!given.ignore) names.add(given.name);
  };
  try {
    Object.assign(Deno, { test: record });
    for (const file of files) await import(fromFileUrl(new URL(file, import.meta.url)));
  } finally {
    Object.assign(Deno, { test });
  }
  return names;
}
