/** Tests of ./llmpipe as it was packed; skipped where it is not built. @module */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { basename, join } from "@std/path";
import { COMMANDS } from "../../src/cli/commands.ts";
import { ROOT, start, TemporaryFolder } from "./start.ts";

const PROGRAM = join(ROOT, "llmpipe");
const isBuilt = await Deno.stat(PROGRAM).then(() => true, () => false);
const ignore = !isBuilt;

/** glibc, the library of gcc's exceptions, which Deno itself needs, and NVIDIA's where it has any. */
const OF_THE_SYSTEM =
  /^(ld-linux.*|lib(c|m|dl|pthread|rt|resolv|util|mvec|gcc_s|cuda|cublas\w*|nccl|nvidia-.*))\.so/;

Deno.test(
  { name: "the program starts 16 times at once with nothing around it", ignore },
  async () => {
    await using folder = new TemporaryFolder();
    const env = { LLMPIPE_CACHE_DIR: join(folder.path, "cache") }; // no PATH, no HOME
    const starts = await Promise.all(
      Array.from({ length: 16 }, () => start(PROGRAM, ["--version"], { env, cwd: "/" })),
    );
    const [first] = starts;
    assertMatch(
      first!.stdout,
      /^llmpipe \d+\.\d+\.\d+\ncommit \w+\+?\ndeno \d.*\nbackends \w+(, \w+)*\n$/,
    );
    for (const { code, stdout, stderr } of starts) {
      assertEquals([code, stdout, stderr], [0, first!.stdout, ""]);
    }
  },
);

Deno.test({ name: "the program has every command inside", ignore }, async () => {
  await using folder = new TemporaryFolder();
  const env = { LLMPIPE_CACHE_DIR: join(folder.path, "cache") };
  for (const { name, hidden } of COMMANDS) {
    if (hidden) continue;
    const { code, stderr } = await start(PROGRAM, [name, "--no-such-option"], { env });
    assertEquals(code, 2, `${name}: ${stderr}`);
    assert(!stderr.includes("Module not found"), stderr);
  }
});

Deno.test({ name: "the program loads no library of the system but glibc", ignore }, async () => {
  await using folder = new TemporaryFolder();
  const cache = join(folder.path, "cache");
  const env = { LLMPIPE_CACHE_DIR: cache, LD_DEBUG: "libs", TMPDIR: folder.path };
  const { code, stdout, stderr } = await start(PROGRAM, ["doctor"], { env, cwd: folder.path });
  assertEquals(code, 0, stdout);
  const loaded = [...stderr.matchAll(/calling init: (\S+)/g)].map(([, path]) => path!);
  const ours = loaded.filter((path) => path.startsWith(cache)).map((path) => basename(path));
  for (const name of ["libllmpipe_cpu.so", "libllmpipe_cpu_kernels.so", "libstdc++.so.6"]) {
    assert(ours.includes(name), `${name} is not among ${ours}`);
  }
  for (const name of ["libdnnl", "libgloo", "libgomp"]) {
    assert(ours.some((file) => file.startsWith(name)), `${name} is not among ${ours}`);
  }
  const [home] = [...Deno.readDirSync(cache)].filter(({ name }) => /^[0-9a-f]{32}$/.test(name));
  const packed = [...Deno.readDirSync(join(cache, home!.name, "lib"))].map(({ name }) => name);
  const idle = packed.filter((name) => /^lib(?!llmpipe).*\.so/.test(name) && !ours.includes(name));
  assertEquals(idle, [], "libraries that nothing in the program needs");
  const foreign = loaded.filter((path) =>
    !path.startsWith(cache) && !OF_THE_SYSTEM.test(basename(path))
  );
  assertEquals(foreign, []);
});

Deno.test({ name: "every backend that the program names opens", ignore }, async () => {
  await using folder = new TemporaryFolder();
  const env = { LLMPIPE_CACHE_DIR: join(folder.path, "cache") };
  const { stdout: version } = await start(PROGRAM, ["--version"], { env });
  const backends = /^backends (.*)$/m.exec(version)![1].split(", ");
  assert(backends.includes("cpu"), version);
  const { stdout } = await start(PROGRAM, ["doctor"], { env, cwd: folder.path });
  for (const backend of backends) {
    const [, text] = new RegExp(`^ {2}(?:ok|absent) +${backend} +(.*)$`, "m").exec(stdout) ?? [];
    assertStringIncludes(text ?? stdout, `lib/libllmpipe_${backend}.so`);
  }
});

Deno.test({ name: "doctor finds the CPU backend in the program", ignore }, async () => {
  await using folder = new TemporaryFolder();
  const env = { LLMPIPE_CACHE_DIR: join(folder.path, "cache") };
  const { code, stdout } = await start(PROGRAM, ["doctor"], { env, cwd: folder.path });
  assertEquals(code, 0, stdout);
  assertMatch(stdout, /^ {2}ok +cpu +/m);
  assertMatch(stdout, /^ {2}ok +loopback +/m);
  assertStringIncludes(stdout, "private to this user");
});
