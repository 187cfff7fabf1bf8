/** `llmpipe doctor --gpu-selftest`: it checks every op, finds what is wrong, and runs on a device. @module */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Context, openContext } from "../../ffi/context.ts";
import { dryKernels, type Kernels } from "../../ffi/kernels.ts";
import { checkCase } from "../../src/tensor/selftest/check_case.ts";
import { kernelCases } from "../../src/tensor/selftest/selftest.ts";
import { AWKWARD } from "../../src/tensor/selftest/sizes.ts";
import { isAvailable } from "../ops/check_op.ts";
import { llmpipe } from "../train/run_training.ts";

const CASES = kernelCases(AWKWARD[1]);

/** Methods of a context that are no ops. */
const NO_OPS = [
  ...["alloc", "free", "memory", "upload", "download", "selectStream", "synchronize"],
  ...["createEvent", "destroyEvent", "recordEvent", "waitEvent", "secondsBetween", "createComm"],
  "selectProducts",
];

function opsOf(context: Context): (keyof Kernels)[] {
  const methods = Object.entries(context).filter(([, value]) => typeof value === "function");
  return methods.map(([name]) => name).filter((name) =>
    !NO_OPS.includes(name)
  ) as (keyof Kernels)[];
}

Deno.test("the self-test has a case of every op", () => {
  using cpu = openContext({ threads: 1 });
  const tested = new Set(CASES.map(({ op }) => op));
  assertEquals(opsOf(cpu).filter((op) => !tested.has(op)), []);
});

Deno.test("the self-test finds no fault where there is none, at any size and in any type", () => {
  using device = openContext({ threads: 1 });
  using cpu = openContext({ threads: 2 });
  for (const kernelCase of AWKWARD.flatMap(kernelCases)) {
    for (const type of kernelCase.types ?? ["f32", "bf16", "f16"] as const) {
      const { error, worst } = checkCase({ device, kernels: device, cpu }, kernelCase, type);
      assert(error <= 1, `${kernelCase.op} ${kernelCase.sizes}, ${type}: ${worst} (${error})`);
    }
  }
});

Deno.test("the self-test finds each op that does nothing", () => {
  using device = openContext({ threads: 1 });
  using cpu = openContext({ threads: 1 });
  for (const kernelCase of CASES) {
    const { op } = kernelCase;
    const kernels: Kernels = { ...device, [op]: dryKernels()[op] };
    for (const type of kernelCase.types ?? ["f32", "bf16", "f16"] as const) {
      const { error } = checkCase(
        { device, kernels, cpu },
        kernelCase,
        type,
      );
      assert(!(error <= 1), `${op} ${kernelCase.sizes}, ${type}: nothing was found`);
    }
  }
});

Deno.test("the self-test finds one element that is off by 0.05", () => {
  using device = openContext({ threads: 1 });
  using cpu = openContext({ threads: 1 });
  for (const kernelCase of CASES) {
    // Afterwards, the first element of one of its results is changed
    const [name, operand] = Object.entries(kernelCase.operands).find(([, { type, use }]) =>
      (use === "written" || use === "updated") && (type === "storage" || type === "f32")
    ) ?? [];
    if (operand === undefined) {
      continue; // results that are whole numbers, or f64
    }
    const wrong = {
      ...kernelCase,
      run: (...[k, p, t]: Parameters<typeof kernelCase.run>) => {
        kernelCase.run(k, p, t);
        if (k !== kernels) {
          return;
        }
        device.fill(p[name!], numberAt(device, p[name!]) + 0.05, 1, 0);
      },
    };
    const kernels: Kernels = { ...device };
    const { error } = checkCase({ device, kernels, cpu }, wrong, "f32");
    assert(!(error <= 1), `${kernelCase.op} ${kernelCase.sizes}: error ${error} of ${name}`);
  }
});

function numberAt(context: Context, pointer: Deno.PointerValue): number {
  const value = new Float32Array(1);
  context.download(value, pointer);
  return value[0];
}

const ignore = !isAvailable("cudaemu");
/** On a device that has the least shared memory of those that can be used. */
const run = (env: Record<string, string>) =>
  llmpipe(["doctor", "--gpu-selftest", "--device", "cudaemu"], {
    LLMPIPE_EMU_DEVICES: "1",
    LLMPIPE_EMU_SM: "86",
    ...env,
  });

Deno.test({
  name: "the self-test of a device passes and shows the speed of every op in every type",
  ignore,
  fn: async () => {
    const { status, stdout, stderr } = await run({});
    assertEquals([status, stderr], [0, ""], stdout);
    assertMatch(stdout, /^Device 0 \(Emulated sm_86\)/);
    for (const type of ["bf16", "f16", "f32"]) {
      assertMatch(stdout, new RegExp(`^${type}, beside .*FLOP/s, copy .* GB/s$`, "m"));
    }
    for (const op of new Set(CASES.map(({ op }) => op))) {
      const lines = stdout.split("\n").filter((line) => line.startsWith(`  ${op} `));
      assert(lines.length > 0, op);
      for (const line of lines) {
        assertMatch(line, /\d+ ok +[01]\.\d\d +\S+ ms +\S+ (TFLOP|GB)\/s +\d+ %/);
      }
    }
    assertStringIncludes(stdout, "All kernels give the right numbers");
  },
});

Deno.test({
  name: "the self-test of a device with a wrong kernel and one that fails names both: status 1",
  ignore,
  fn: async () => {
    const { status, stdout } = await run({
      LLMPIPE_EMU_SM: "75", // has no bf16
      LLMPIPE_EMU_SKIP: "swiglu_forward",
      LLMPIPE_EMU_FAIL: "gelu_forward:2",
    });
    assertEquals(status, 1);
    const wrong = [...stdout.matchAll(/^ {2}(\w+) +(\d+) WRONG/gm)].map(([, ...found]) => found);
    const swiglu = ["swigluForward", "6"]; // in each type
    assertEquals(wrong, [swiglu, ["geluForward", "1"], swiglu]);
    assertMatch(
      stdout,
      /^ {2}Device 0 \(.*\): swigluForward \[10, 9\], f16: y\[\d+\] must be .*, found/m,
    );
    assertMatch(
      stdout,
      /^ {2}Device 0 \(.*\): geluForward \[10, 9\], f16: gelu_forward: .*failure/m,
    );
    assert(!stdout.includes("All kernels give the right numbers"));
  },
});

Deno.test({
  name: "the self-test without a device says why, and ends with status 2",
  fn: async () => {
    if (isAvailable("cuda")) return;
    const { status, stdout, stderr } = await llmpipe(["doctor", "--gpu-selftest"]);
    assertEquals([status, stdout], [2, ""]);
    assertMatch(stderr, /^llmpipe: Cannot use device: cuda as .*looked for.*\n$/);
  },
});
