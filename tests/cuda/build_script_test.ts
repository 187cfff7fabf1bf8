/** scripts/cuda says in one line what it lacks, with a status of its own. @module */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { ROOT, start, TemporaryFolder } from "../cli/start.ts";

/** Runs a copy of the script with programs of ours before all others on PATH. */
async function build(programs: Record<string, string>) {
  await using folder = new TemporaryFolder();
  const bin = join(folder.path, "bin"), script = join(folder.path, "scripts/cuda");
  for (const path of [bin, join(folder.path, "scripts")]) Deno.mkdirSync(path);
  Deno.copyFileSync(join(ROOT, "scripts/cuda"), script);
  for (const [name, text] of Object.entries(programs)) {
    Deno.writeTextFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  const { code, stdout, stderr } = await start(script, [], {
    env: { PATH: `${bin}:/usr/bin:/bin` },
    cwd: folder.path,
  });
  assertEquals(stdout, "");
  return { code, last: stderr.trimEnd().split("\n").at(-1)! };
}

/** The devices that csrc/cuda/CMakeLists.txt builds for with an nvcc of a version. */
async function architectures(version: string): Promise<string> {
  await using folder = new TemporaryFolder();
  const script = join(folder.path, "ask.cmake");
  Deno.writeTextFileSync(
    script,
    `include(${join(ROOT, "csrc/cuda/architectures.cmake")})
architectures_for(${version} found)
message("\${found}")
`,
  );
  const { code, stderr } = await start("cmake", ["-P", script]);
  assertEquals(code, 0, stderr);
  return stderr.trim();
}

Deno.test("with CUDA 12 there is code for V100, which CUDA 13 has dropped", async () => {
  assertEquals(await architectures("12.9.86"), "70-real;75-real;80-real;90");
  assertEquals(await architectures("13.0.88"), "75-real;80-real;90");
});

const OLD = "echo 'Cuda compilation tools, release 11.8, V11.8.89'";
const NEW = "case $1 in --version) echo 'Cuda compilation tools, release 13.0, V13.0.88' ;; " +
  "*) echo 'cublasLt.h: No such file' >&2; exit 1 ;; esac";

Deno.test("scripts/cuda refuses an nvcc that is too old", async () => {
  const { code, last } = await build({ nvcc: OLD });
  assertEquals(code, 3);
  assertMatch(
    last,
    /^Cannot build the CUDA backend: \S+nvcc is of CUDA 11, 12 or newer is needed$/,
  );
});

Deno.test("scripts/cuda says where it looked for headers that it cannot have", async () => {
  const { code, last } = await build({
    nvcc: NEW,
    python3: "echo 'ERROR: No matching distribution found for nvidia-cublas' >&2; exit 1",
  });
  assertEquals(code, 3);
  assertMatch(
    last,
    /^Cannot build .* looked for in the folders of \S+nvcc and of the system, .* \(ERROR: No matching/,
  );
});
