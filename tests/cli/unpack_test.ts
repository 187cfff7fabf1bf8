/** Tests of how a program made by `deno compile` unpacks its libraries. @module */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { dirname, join } from "@std/path";
import { gzipSync } from "node:zlib";
import { packLibraries } from "../../scripts/pack/unpack.ts";
import { type Ended, ROOT, start, TemporaryFolder } from "./start.ts";

const NAMES = ["lib/libsmall.so", "lib/glibc-hwcaps/x86-64-v3/liblarge.so"];

/** The files of a program, and a cache for what it unpacks. */
class Program extends TemporaryFolder {
  readonly cache = join(this.path, "cache");
  readonly files = join(this.path, "files");
  readonly packed = join(this.path, "packed");
  readonly #entry = join(this.path, "entry.ts");

  constructor() {
    super();
    for (const [i, name] of NAMES.entries()) {
      Deno.mkdirSync(dirname(join(this.files, name)), { recursive: true });
      const bytes = new Uint8Array(1 + (i << 22)).map((_, at) => at * 7 + i);
      Deno.writeFileSync(join(this.files, name), bytes);
    }
    const manifest = JSON.stringify(packLibraries(this.files, NAMES, this.packed));
    const module = join(ROOT, "scripts/pack/unpack.ts");
    Deno.writeTextFileSync(
      this.#entry,
      `import { unpackLibraries } from ${JSON.stringify(module)};
try {
  console.log(unpackLibraries(${JSON.stringify(this.packed)}, ${manifest}));
} catch (error) {
  console.error(error.message);
  Deno.exit(1);
}`,
    );
  }

  start(env: Record<string, string> = { LLMPIPE_CACHE_DIR: this.cache }): Promise<Ended> {
    const args = ["run", "-A", "--no-check", "--quiet", "--no-config", this.#entry];
    return start(Deno.execPath(), args, { env, cwd: this.path });
  }

  /** Starts it and looks at everything that is there then. Returns the folder. */
  async unpacked(): Promise<string> {
    const { code, stdout, stderr } = await this.start();
    assertEquals([code, stderr], [0, ""]);
    const home = stdout.trim();
    for (const name of NAMES) {
      const path = join(home, name);
      assertEquals(Deno.readFileSync(path), Deno.readFileSync(join(this.files, name)));
      assertEquals(Deno.statSync(path).mode! & 0o077, 0);
    }
    return home;
  }
}

const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

Deno.test("unpackLibraries() makes a private folder named by what is in it", async () => {
  await using program = new Program();
  const home = await program.unpacked();
  assertMatch(home, new RegExp(`^${program.cache}/[0-9a-f]{32}$`));
  for (const folder of [program.cache, home, join(home, "lib")]) {
    assertEquals(Deno.statSync(folder).mode! & 0o077, 0, folder);
  }
  const { ino } = Deno.statSync(join(home, NAMES[0]!));
  assertEquals(await program.unpacked(), home);
  assertEquals(Deno.statSync(join(home, NAMES[0]!)).ino, ino, "unpacked twice");
});

Deno.test("unpackLibraries() serves 16 first starts at once", async () => {
  await using program = new Program();
  const starts = await Promise.all(Array.from({ length: 16 }, () => program.start()));
  const home = await program.unpacked();
  for (const { code, stdout, stderr } of starts) {
    assertEquals([code, stdout, stderr], [0, `${home}\n`, ""]);
  }
  assertEquals(names(program.cache), [home.slice(program.cache.length + 1), "lock"].sort());
});

Deno.test("unpackLibraries() heals a damaged folder and sweeps what was left", async () => {
  await using program = new Program();
  const home = await program.unpacked();
  const path = join(home, NAMES[1]!);
  const damages: Record<string, () => void> = {
    "cut short": () => Deno.truncateSync(path, 5),
    "changed": () => Deno.writeFileSync(path, new Uint8Array(Deno.statSync(path).size)),
    "missing": () => Deno.removeSync(path),
  };
  for (const damage of Object.values(damages)) {
    damage();
    Deno.mkdirSync(join(program.cache, ".new-1-killed/lib"), { recursive: true });
    assertEquals(await program.unpacked(), home);
    assertEquals(names(program.cache).filter((name) => name.startsWith(".new-")), []);
  }
});

Deno.test("unpackLibraries() refuses libraries that are not what was packed", async () => {
  await using program = new Program();
  const other = gzipSync(new TextEncoder().encode("another library"));
  for (const bytes of [other, new TextEncoder().encode("?")]) {
    Deno.writeFileSync(join(program.packed, NAMES[0]!), bytes);
    const { code, stderr } = await program.start();
    assertEquals(code, 1);
    assertStringIncludes(stderr, `Cannot unpack ${NAMES[0]}: its hash is not what it must be`);
    assertEquals(names(program.cache), ["lock"]);
  }
});

Deno.test("unpackLibraries() refuses a cache that others can write to", async () => {
  await using program = new Program();
  Deno.mkdirSync(program.cache);
  Deno.chmodSync(program.cache, 0o777);
  const { code, stderr } = await program.start();
  assertEquals(code, 1);
  assertStringIncludes(stderr, "others may write to it (chmod go-w)");
  // Without LLMPIPE_CACHE_DIR the next place is taken
  const xdg = join(program.path, "xdg");
  Deno.mkdirSync(join(xdg, "llmpipe"), { recursive: true });
  Deno.chmodSync(join(xdg, "llmpipe"), 0o777);
  const home = join(program.path, "home");
  Deno.mkdirSync(home);
  const next = await program.start({ XDG_CACHE_HOME: xdg, HOME: home });
  assertEquals(next.code, 0, next.stderr);
  assert(next.stdout.startsWith(join(home, ".cache/llmpipe/")), next.stdout);
});
