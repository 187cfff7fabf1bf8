/** Files that are flushed while others, and they themselves, are still being written. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { FileBatch } from "../../src/formats/file_batch.ts";

/** Handles of this process that are open on a file. */
function handles(path: string): number {
  const links = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
    try {
      return Deno.readLinkSync(join("/proc/self/fd", name));
    } catch {
      return ""; // that of the listing itself
    }
  });
  return links.filter((link) => link === path).length;
}

Deno.test({
  name: "a large file is flushed in parts while it is written, by few handles that are all closed",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const dir = Deno.realPathSync(Deno.makeTempDirSync());
    try {
      const batch = new FileBatch();
      const path = join(dir, "large");
      let finished = 0;
      await batch.write(path, (file) => {
        file.truncateSync(1 << 20);
        batch.advance((64 << 20) - 1);
        assertEquals(handles(path), 1);
        batch.advance(1);
        assert(handles(path) > 1, "nothing is flushed"); // a flush that runs has two
        for (let gigabyte = 0; gigabyte < 100; gigabyte++) batch.advance(1e9);
        const most = handles(path);
        assert(most > 10 && most < 200, `${most} handles for 100 GB`);
      }, () => finished++);
      await batch.write(join(dir, "small"), () => batch.advance(1));
      await batch.flush();
      assertEquals(finished, 1);
      assertEquals(handles(path), 0);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
});
