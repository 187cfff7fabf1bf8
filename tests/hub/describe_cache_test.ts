import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { inspectCache } from "../../src/hub/describe_cache.ts";
import { withDir } from "../checkpoint/fixtures.ts";

Deno.test("the cache is described: what is in it, what is unfinished, why it cannot be used", () =>
  withDir((home) => {
    const look = (changes: Record<string, string> = {}) => {
      const environment: Record<string, string> = { HF_HOME: home, ...changes };
      return inspectCache((name) => environment[name]);
    };
    const from = "from https://huggingface.co", folder = join(home, "hub");
    const nothing = { state: "ok" as const, folder, models: 0, bytes: 0, unfinished: 0 };
    assertEquals(look(), {
      ...nothing,
      notes: [from, "empty; made when the first model is fetched"],
    });
    for (const path of ["models--a--b/snapshots", "models--a--b/blobs", "models--c--d/blobs"]) {
      Deno.mkdirSync(join(folder, path), { recursive: true });
    }
    Deno.writeTextFileSync(join(folder, "models--a--b/blobs/1"), "1234");
    Deno.writeTextFileSync(join(folder, "models--c--d/blobs/2.incomplete"), "123");
    const something = { ...nothing, models: 1, bytes: 7, unfinished: 1 };
    assertEquals(look(), { ...something, notes: [from] });
    const offline = "HF_HUB_OFFLINE is set: nothing is fetched";
    assertEquals(look({ HF_HUB_OFFLINE: "1", HF_TOKEN: "x" }), {
      ...something,
      notes: [offline, "token of HF_TOKEN"],
    });
    const wrong = look({ HF_ENDPOINT: "hub" });
    assertEquals(wrong.state, "absent");
    assertMatch(wrong.notes[0], /HF_ENDPOINT/);
    assertEquals(look({ HF_HUB_CACHE: "/dev/null" }).state, "absent");
  }));
