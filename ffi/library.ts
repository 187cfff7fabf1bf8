/** Finds and opens the native library of a backend. @module */
import { dirname, fromFileUrl, join } from "@std/path";
import { NativeError } from "./native_error.ts";
import { SYMBOLS } from "./symbols.ts";

/**
 * A backend: the name between `libllmpipe_` and `.so`. Those that begin with "cudaemu" are the CUDA
 * backend on the CPU emulation of csrc/emu, for tests.
 */
export type Backend = "cpu" | "cuda" | "cudaemu" | "cudaemu_race" | "cudaemu_asan";

/** The `LP_ABI_VERSION` of csrc/llmpipe.h that symbols.ts mirrors. */
const ABI_VERSION = 4;

/** A wait that blocks a thread of the pool instead of this one. */
export const ASYNC_SYMBOLS = {
  lp_wait_async: { ...SYMBOLS.lp_wait, name: "lp_wait", nonblocking: true },
} as const satisfies Deno.ForeignLibraryInterface;

/** An open native library. */
export type Library = Deno.DynamicLibrary<typeof SYMBOLS & typeof ASYNC_SYMBOLS>;

/** Where scripts/build_emulated puts its libraries. */
const EMULATED = "build/cudaemu/lib";

const opened = new Map<Backend, Library>();

/**
 * Opens the library of a backend, once.
 *
 * @throws {NativeError} EUNSUPPORTED with every path tried and why it failed
 */
export function openLibrary(backend: Backend): Library {
  const known = opened.get(backend);
  if (known) return known;
  setThreadPolicy();
  const failures: string[] = [];
  for (const path of libraryPaths(backend)) {
    if (!exists(path)) {
      failures.push(`${path}: no such file`);
      continue;
    }
    try {
      const library = Deno.dlopen(path, { ...SYMBOLS, ...ASYNC_SYMBOLS });
      const found = library.symbols.lp_abi_version();
      if (found === ABI_VERSION) {
        opened.set(backend, library);
        return library;
      }
      failures.push(`${path}: ABI version must be ${ABI_VERSION}, found ${found}`);
    } catch (cause) {
      failures.push(`${path}: ${cause instanceof Error ? cause.message : cause}`);
    }
  }
  throw new NativeError(
    "EUNSUPPORTED",
    `Cannot open the native library of backend ${backend} (build it with ${
      scriptFor(backend)
    }):\n` +
      failures.map((text) => `  ${text}`).join("\n"),
  );
}

function scriptFor(backend: Backend): string {
  if (backend === "cpu") return "scripts/build_native";
  return backend === "cuda" ? "scripts/cuda" : "scripts/build_emulated";
}

/** Where the library of a backend is looked for, in this order. */
export function libraryPaths(backend: Backend): string[] {
  const name = `libllmpipe_${backend}.so`;
  // Set by the packed program; its files need not be on a disk, its libraries must be
  const home = Deno.env.get("LLMPIPE_HOME");
  const libraries = Deno.env.get("LLMPIPE_LIBRARIES") ?? (home && join(home, "lib"));
  const folders = libraries === undefined ? [] : [libraries];
  if (import.meta.url.startsWith("file:")) {
    const sources = dirname(dirname(fromFileUrl(import.meta.url)));
    folders.push(join(sources, backend.startsWith("cudaemu") ? EMULATED : "build/native/lib"));
  }
  return folders.map((folder) => join(folder, name));
}

/**
 * Worker threads of OpenMP wait for the next op by spinning, which pays while they have a core of
 * their own: at most for 0.1 ms, as another rank may need the core. Read by the runtime when it is loaded.
 */
function setThreadPolicy(): void {
  if (Deno.env.get("OMP_NUM_THREADS") === "") Deno.env.delete("OMP_NUM_THREADS"); // it warns of ""
  if (Deno.env.has("OMP_WAIT_POLICY") || Deno.env.has("GOMP_SPINCOUNT")) return;
  Deno.env.set("GOMP_SPINCOUNT", "20000");
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
