import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { buildLauncher } from "../../scripts/pack/launcher.ts";
import { writePayload } from "../../scripts/pack/payload.ts";
import { type Ended, ROOT, start, TemporaryFolder } from "./start.ts";

/** Stands for deno: says where it was started and with what. */
const FAKE_DENO = `#!/bin/sh
echo "home=$LLMPIPE_HOME"
echo "exe=$LLMPIPE_EXE"
echo "args=$*"
cat "$LLMPIPE_HOME/lib/glibc-hwcaps/x86-64-v3/libsmall.so"
`;

/** A program with a small payload, and a cache for it. */
class Program extends TemporaryFolder {
  readonly file = join(this.path, "program");
  readonly cache = join(this.path, "cache");

  static async pack(): Promise<Program> {
    const program = new Program();
    const folder = join(program.path, "payload");
    await Deno.mkdir(join(folder, "lib/glibc-hwcaps/x86-64-v3"), { recursive: true });
    await Deno.writeTextFile(join(folder, "deno"), FAKE_DENO);
    await Deno.writeTextFile(join(folder, "main.js"), "");
    await Deno.writeTextFile(join(folder, "deno.json"), "{}");
    await Deno.writeTextFile(join(folder, "lib/glibc-hwcaps/x86-64-v3/libsmall.so"), "small\n");
    const large = new Uint8Array(24 << 20); // takes long enough to unpack to be interrupted
    for (let i = 0; i < large.length; i += 65536) {
      crypto.getRandomValues(large.subarray(i, i + 65536));
    }
    await Deno.writeFile(join(folder, "lib/liblarge.so"), large);
    const launcher = join(program.path, "launcher");
    await buildLauncher(join(ROOT, "scripts/launcher"), launcher);
    await writePayload(program.file, { launcher, folder, level: 1 });
    return program;
  }

  start(args: string[] = [], env: Record<string, string> = {}): Promise<Ended> {
    return start(this.file, args, { env: { LLMPIPE_CACHE_DIR: this.cache, PATH: "/bin", ...env } });
  }

  async home(): Promise<string> {
    return /^home=(.*)$/m.exec((await this.start()).stdout)![1]!;
  }
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

Deno.test("launcher", async (t) => {
  await using program = await Program.pack();
  const fresh = () => Deno.remove(program.cache, { recursive: true }).catch(() => {});

  await t.step("unpacks into a private folder and starts what is in there", async () => {
    const { code, stdout } = await program.start(["train", "a b", "--set", "x=1"]);
    assertEquals(code, 0);
    const home = /^home=(.*)$/m.exec(stdout)![1]!;
    assertMatch(home, new RegExp(`^${program.cache}/[0-9a-f]{32}$`));
    assertStringIncludes(stdout, `exe=${program.file}\n`);
    assertStringIncludes(stdout, `${home}/main.js train a b --set x=1\n`);
    assertStringIncludes(stdout, "small\n");
    for (const path of [program.cache, home, `${home}/lib`, `${home}/deno`, `${home}/main.js`]) {
      assertEquals(Deno.statSync(path).mode! & 0o077, 0, `${path} is open to others`);
    }
  });

  await t.step("16 first starts at once all work and leave one copy", async () => {
    await fresh();
    const starts = await Promise.all(Array.from({ length: 16 }, () => program.start(["x"])));
    assertEquals(starts.map(({ code, stderr }) => code + stderr), Array(16).fill("0"));
    assertEquals(names(program.cache).length, 2); // the copy and the lock
  });

  await t.step("a damaged file is refused and leaves nothing behind", async () => {
    await fresh();
    const bytes = Deno.readFileSync(program.file);
    const { size } = Deno.statSync(join(program.path, "launcher"));
    const damaged = join(program.path, "damaged");
    for (const position of [size + 20, size + (bytes.length - size) / 2 | 0, bytes.length - 20]) {
      const copy = bytes.slice();
      copy[position]! ^= 1;
      Deno.writeFileSync(damaged, copy, { mode: 0o755 });
      const { code, stderr } = await start(damaged, [], {
        env: { LLMPIPE_CACHE_DIR: program.cache },
      });
      assertEquals(code, 1);
      assertStringIncludes(stderr, "copy it again");
      assertEquals(names(program.cache).filter((name) => name !== "lock"), []);
    }
    Deno.writeFileSync(damaged, bytes.subarray(0, bytes.length - 4096), { mode: 0o755 });
    const { code, stderr } = await start(damaged, [], {
      env: { LLMPIPE_CACHE_DIR: program.cache },
    });
    assertEquals(code, 1);
    assertStringIncludes(stderr, "damaged or incomplete");
  });

  await t.step(
    "a start after one that was killed while unpacking cleans up and works",
    async () => {
      let interrupted = 0;
      for (let attempt = 0; attempt < 20 && interrupted < 3; attempt++) {
        await fresh();
        const env = { LLMPIPE_CACHE_DIR: program.cache, PATH: "/bin" };
        const child = new Deno.Command(program.file, { env, stdout: "null" }).spawn();
        const isUnpacking = () => names(program.cache).some((name) => name.startsWith(".new-"));
        while (!await Deno.stat(program.cache).catch(() => false) || !isUnpacking()) {
          await new Promise((wake) => setTimeout(wake, 1));
          if (await Promise.race([child.status.then(() => true), Promise.resolve(false)])) break;
        }
        try {
          child.kill("SIGKILL");
        } catch {
          // it ended before
        }
        if ((await child.status).success) continue;
        interrupted++;
        assert(isUnpacking());
        assertEquals((await program.start()).code, 0);
        assertEquals(names(program.cache).length, 2);
      }
      assert(interrupted > 0, "no start could be interrupted");
    },
  );

  await t.step("a spoiled copy is unpacked again", async () => {
    const home = await program.home();
    const large = join(home, "lib/liblarge.so");
    const first = Deno.readFileSync(large).subarray(0, 16);
    const spoils: (() => void)[] = [
      () => Deno.removeSync(large),
      () => Deno.truncateSync(large, 100),
      () => Deno.writeFileSync(large, new Uint8Array(24 << 20)), // the size stays
      () => Deno.removeSync(home, { recursive: true }),
      () => {
        Deno.removeSync(large);
        Deno.symlinkSync("/bin/sh", large);
      },
    ];
    for (const spoil of spoils) {
      spoil();
      assertEquals((await program.start()).code, 0);
      assertEquals(Deno.readFileSync(large).subarray(0, 16), first);
      assertEquals(names(program.cache).length, 2);
    }
  });

  await t.step("a cache that others can write to is refused", async () => {
    await fresh();
    Deno.mkdirSync(program.cache);
    Deno.chmodSync(program.cache, 0o777);
    const { code, stderr } = await program.start();
    assertEquals(code, 1);
    assertStringIncludes(stderr, `${program.cache}: others may write to it (chmod go-w`);
    assertEquals(names(program.cache), []);
    await fresh();
  });

  await t.step(
    "a home that cannot be written to gives way to a private folder in /tmp",
    async () => {
      const env = { HOME: "/proc", PATH: "/bin" }; // nobody can make files in there, root included
      const { code, stdout } = await start(program.file, [], { env });
      assertEquals(code, 0);
      const home = /^home=(.*)$/m.exec(stdout)![1]!;
      assertMatch(home, new RegExp(`^/tmp/llmpipe-${Deno.uid()}/[0-9a-f]{32}$`));
      Deno.removeSync(home, { recursive: true });
    },
  );

  await t.step("the cache follows XDG_CACHE_HOME, then HOME", async () => {
    const home = join(program.path, "home"), xdg = join(program.path, "xdg/deep");
    Deno.mkdirSync(home);
    for (
      const [env, cache] of [
        [{ HOME: home, PATH: "/bin" }, join(home, ".cache/llmpipe")],
        [{ HOME: home, XDG_CACHE_HOME: xdg, PATH: "/bin" }, join(xdg, "llmpipe")],
      ] as const
    ) {
      const { code, stdout } = await start(program.file, [], { env });
      assertEquals(code, 0);
      assertStringIncludes(stdout, `home=${cache}/`);
    }
  });

  await t.step("a named cache that cannot be had is an error", async () => {
    const { code, stderr } = await program.start([], { LLMPIPE_CACHE_DIR: "/proc/cache" });
    assertEquals(code, 1);
    assertStringIncludes(stderr, "Cannot use LLMPIPE_CACHE_DIR /proc/cache: ");
  });

  await t.step("versions that nobody started for a month go when a new one comes", async () => {
    await fresh();
    const month = 31 * 24 * 3600 * 1000;
    const old = join(program.cache, "0".repeat(32)), recent = join(program.cache, "1".repeat(32));
    for (const version of [old, recent]) Deno.mkdirSync(join(version, "lib"), { recursive: true });
    Deno.chmodSync(program.cache, 0o700);
    Deno.utimeSync(old, new Date(Date.now() - month), new Date(Date.now() - month));
    assertEquals((await program.start()).code, 0);
    assertEquals(names(program.cache).length, 3);
    assert(!names(program.cache).includes("0".repeat(32)));
  });
});
