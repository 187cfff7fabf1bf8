/** The CUDA backend is written once: what compiles it shows in one header only. @module */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";

const CSRC = fromFileUrl(new URL("../../csrc/", import.meta.url));
/** Wraps nvcc and the emulation: the one file of csrc/cuda that may ask which of them compiles it. */
const PORTABILITY = "cuda/gpu.h";

/** A line of a source file, without its comment. */
interface Line {
  path: string;
  number: number;
  code: string;
}

function* linesOf(folder: string): Generator<Line> {
  for (const { name, isDirectory } of Deno.readDirSync(join(CSRC, folder))) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* linesOf(path);
    if (!/\.(h|cu|cpp)$/.test(name)) continue;
    const text = Deno.readTextFileSync(join(CSRC, path));
    for (const [i, line] of text.split("\n").entries()) {
      yield { path, number: i + 1, code: line.replace(/\/\/.*/, "") };
    }
  }
}

/** Lines of these folders that match, "path:line: code" each. */
function find(folders: string[], pattern: RegExp, except: string[] = []): string[] {
  return folders.flatMap((folder) => [...linesOf(folder)])
    .filter(({ path, code }) => !except.includes(path) && pattern.test(code))
    .map(({ path, number, code }) => `${path}:${number}: ${code.trim()}`);
}

const COMPILERS = /\b(__CUDACC__|__CUDA_ARCH__|__NVCC__|__CUDACC_\w+|__clang__|__GNUC__)\b/;

Deno.test("no source of csrc/cuda but gpu.h has a condition of the preprocessor", () => {
  const guard = /^\s*#\s*ifndef LLMPIPE_CUDA_\w+_H$/;
  const conditions = find(["cuda"], /^\s*#\s*(if|ifdef|ifndef|elif|else)\b/, [PORTABILITY]);
  assertEquals(conditions.filter((line) => !guard.test(line.replace(/^[^ ]+ /, ""))), []);
});

Deno.test("no source but gpu.h and csrc/common names the compiler", () => {
  assert(find(["cuda"], COMPILERS).length > 0, "the pattern must find those of gpu.h");
  assertEquals(find(["cuda", "cpu", "emu"], COMPILERS, [PORTABILITY]), []);
});

Deno.test("special instructions and launches stand in gpu.h only", () => {
  const special = /\basm\b|<<<|__cvta_|__shared__|\bdlopen\b|\bdlsym\b/;
  assert(find(["cuda"], special).length > 5, "the pattern must find those of gpu.h");
  assertEquals(find(["cuda"], special, [PORTABILITY]), []);
});

Deno.test("kernels take their formulas from csrc/common", () => {
  // What needs no formula of ours: softmax and log-sum-exp, exp(x - largest) and log(sum)
  const ofSoftmax = /^cuda\/(attention_\w+|cross_entropy)\.cu:/;
  const functions = /\b(tanh|rsqrt|sqrt|pow|sin|cos|erf|exp|exp2|log|log2|fast_exp2)f?\(/;
  const found = find(["cuda"], functions, [PORTABILITY]);
  assertEquals(found.filter((line) => !ofSoftmax.test(line)), []);
});
