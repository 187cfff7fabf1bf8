/** libllmpipe_cuda.so as nvcc has built it: it opens anywhere, and says what it lacks there. @module */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { stringify } from "@std/yaml";
import { describeBackend, openContext } from "../../ffi/context.ts";
import { libraryPaths, openLibrary } from "../../ffi/library.ts";
import { NativeError } from "../../ffi/native_error.ts";
import { SYMBOLS } from "../../ffi/symbols.ts";
import { llmpipe } from "../train/run_training.ts";

const LIBRARY = libraryPaths("cuda").at(-1)!;
const isBuilt = await Deno.stat(LIBRARY).then(() => true, () => false);
const hasDriver = isBuilt && describeBackend("cuda").reason?.includes("no NVIDIA driver") !== true;
if (!isBuilt) console.log(`Tests of ${LIBRARY} are skipped: scripts/cuda has not built it`);
if (hasDriver) console.log("Tests of a machine without a driver are skipped: this one has one");

/** Lines that a program of binutils prints about the library. */
async function ask(program: string, ...args: string[]): Promise<string[]> {
  const command = new Deno.Command(program, { args: [...args, LIBRARY], env: { LC_ALL: "C" } });
  return new TextDecoder().decode((await command.output()).stdout).trim().split("\n");
}

Deno.test({
  name: "the CUDA library exports every function of llmpipe.h and nothing else",
  ignore: !isBuilt,
  fn: async () => {
    const exported = (await ask("nm", "-D", "--defined-only")).map((line) => line.split(" "));
    const names = exported.map(([, , name]) => name);
    const functions = names.filter((name) => !name.startsWith("lp_probe_")); // those are for tests
    assertEquals(functions.sort(), Object.keys(SYMBOLS).sort());
    assertEquals(new Set(exported.map(([, kind]) => kind)), new Set(["T"])); // none of them weak
  },
});

Deno.test({
  name: "the CUDA library needs nothing but the libraries of C and C++",
  ignore: !isBuilt,
  fn: async () => {
    const needed = (await ask("readelf", "-d")).filter((line) => line.includes("(NEEDED)"))
      .map((line) => /\[(.*)\]/.exec(line)![1]);
    const allowed = /^(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so\.\d|ld-linux-[\w-]+\.so\.\d)$/;
    assertEquals(needed.filter((name) => !allowed.test(name)), []);
    assert(needed.includes("libc.so.6"), needed.join(" "));
  },
});

const NO_DRIVER =
  "this machine has no NVIDIA driver: libcuda.so.1 was looked for in LD_LIBRARY_PATH and in the " +
  "library folders of the system";
const ignore = !isBuilt || hasDriver;

Deno.test({
  name: "without a driver the CUDA library opens, describes itself and says what is missing",
  ignore,
  fn: () => {
    openLibrary("cuda");
    const { backend, libraries, devices, reason } = describeBackend("cuda");
    assertEquals([backend, devices, reason], ["cuda", [], NO_DRIVER]);
    assertMatch(libraries.cuda, /^1[23]\.\d+$/);
    const error = assertThrows(() => openContext({ backend: "cuda" }), NativeError);
    assertEquals([error.status, error.message], ["EDEVICE", `ctx_create: ${NO_DRIVER}`]);
  },
});

Deno.test({
  name: "without a driver train and doctor say so",
  ignore,
  fn: async () => {
    const dir = Deno.makeTempDirSync({ prefix: "llmpipe-driver-" });
    try {
      const config = join(dir, "run.yml"), save = join(dir, "save");
      const keys = {
        data_path: config,
        model_path: dir,
        save_path: save,
        n_epoches: 1,
        max_seq_len: 16,
      };
      const batch = { train_micro_batch_size_per_gpu: 1, gradient_accumulation_steps: 1 };
      const optimizer = { type: "AdamW", params: { lr: 1e-3 } };
      Deno.writeTextFileSync(config, stringify({ ...keys, ...batch, optimizer }));
      for (
        const args of [
          ["train", config, "--device", "cuda"],
          ["train", config, "--set", "device=cuda"],
        ]
      ) {
        const { status, stderr } = await llmpipe(args);
        assertEquals(stderr, `llmpipe: Cannot use device: cuda as ${NO_DRIVER}\n`, args.join(" "));
        assertEquals(status, 2, args.join(" "));
      }
      assertEquals(await Deno.stat(save).catch(() => "none"), "none");
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
    const doctor = await llmpipe(["doctor", "--device", "cuda"]);
    assertEquals(doctor.status, 1);
    assertMatch(doctor.stdout, /^backends .*\bcuda\b/m);
    assert(doctor.stdout.includes(NO_DRIVER), doctor.stdout);
  },
});
