/**
 * The static quality of the CUDA kernels, as text: what scripts/cuda_report writes and compares.
 *
 * @module
 */
import { fromFileUrl } from "@std/path";
import { demangle, type Kernel, readKernels } from "./objects.ts";
import { occupancy } from "./occupancy.ts";
import { count, hottestTurn } from "./sass.ts";
import { findDisassembler, findTool, run } from "./tools.ts";

const OBJECTS = "build/cuda/CMakeFiles/llmpipe_cuda.dir"; // of scripts/cuda
const CACHE = "build/cuda_report";
const TEXT = "csrc/cuda/REPORT.txt";

/** Cycles that a product of 16 x 8 x 16 occupies the tensor cores of a partition. */
const PRODUCT_CYCLES: Record<string, number> = { sm_80: 8, sm_90: 4 };
const ARCHS = Object.keys(PRODUCT_CYCLES);

/** Least share of the tensor cores' time that issue slots must allow, in per cent. */
const LEAST_ISSUE: Record<string, number> = { attention_forward: 85, attention_backward: 70 };
const HEADER = `\
Static quality of the CUDA kernels: written by scripts/cuda_report, compared by its --check.

  regs     registers of a thread                 stack   bytes of arrays that are not in registers
  local    LDL and STL: spilled registers        shared  bytes of a block, static and dynamic
  blocks   of a multiprocessor, of \`threads\`     warps   share of its warps in use; what limits it
Kernels outside scripts/static/launches.cu are taken to have 256 threads and no dynamic memory.
attention_forward<type,K,extras>, attention_backward<type,K,extras,side>: extras 0 none, 1 biases,
2 dropout; side 0 gradients of queries, 1 of keys and values.

Of kernels on tensor cores, of one turn of a warp through the loop over tiles on no border:
  HMMA     products of 16 x 8 x 16, beside the least that the arithmetic needs
  instr    instructions
  issue    bound of the tensor cores' use by issue slots: one instruction of a partition per cycle
           beside ${
  ARCHS.map((arch) => `${PRODUCT_CYCLES[arch]} (${arch})`).join(" or ")
} cycles of a product
  memory   the same by shared memory: 128 bytes per cycle for four partitions, 16 of a partition's
           cycles for a wide access of a warp (LDSM, LDGSTS), 4 for a small one (LDS, STS)
  special  the same by the unit of 2^x (MUFU), 8 cycles
A bound above 100% means that the tensor cores themselves are the limit. Of moe_gemm kernels whose
tiles are not aligned (false), the loads are not counted.

Rules: no stack, nothing local, the least HMMA, no loop within a turn; on sm_80 issue slots allow ${
  Object.entries(LEAST_ISSUE).map(([kernel, least]) => `${least}% in ${kernel}`).join(" and ")
}.
`;

interface Launch {
  threads: number;
  shared: number;
  products: number;
}

/** Reads the objects that scripts/cuda has left. */
export async function makeReport(compiler: string, disassembler: string): Promise<string> {
  const objects = [...Deno.readDirSync(OBJECTS)].map(({ name }) => name)
    .filter((name) => name.endsWith(".o")).sort();
  const launches = await readLaunches(compiler);
  const version = (await run(`${compiler}/nvcc`, ["--version"])).match(/V(\d+\.\d+\.\d+)/)?.[1];
  const texts = new Map(ARCHS.map((arch) => [arch, `\n==== ${arch}\n`]));
  const faults: string[] = [];
  const read = (object: string) => readKernels(`${OBJECTS}/${object}`, ARCHS, disassembler);
  for (const [i, found] of (await Promise.all(objects.map(read))).entries()) {
    for (const [arch, kernels] of found) {
      if (kernels.length === 0) continue;
      const names = await demangle(kernels.map(({ mangled }) => mangled));
      const named = kernels.map((kernel, i) => ({ ...kernel, name: names[i]! }))
        .sort((a, b) => a.name < b.name ? -1 : 1);
      const title = objects[i]!.replace(/\.o$/, "");
      texts.set(arch, texts.get(arch) + table(title, arch, named, launches, faults));
    }
  }
  const rules = ["", "Rules that do not hold:", ...faults.length > 0 ? faults : ["none"], ""];
  return HEADER + `\nCompiler: nvcc ${version}\n` + rules.join("\n") + [...texts.values()].join("");
}

/** What scripts/static/launches.cu prints. */
async function readLaunches(compiler: string): Promise<Map<string, Launch>> {
  const program = `${CACHE}/launches`;
  const source = "scripts/static/launches.cu";
  await run(`${compiler}/nvcc`, ["-std=c++17", "-I", "csrc", source, "-o", program]);
  const lines = (await run(program, [])).trim().split("\n");
  return new Map(lines.map((line) => {
    const [name, threads, shared, products] = line.split(" ");
    return [name!, {
      threads: Number(threads),
      shared: Number(shared),
      products: Number(products),
    }];
  }));
}

function table(
  title: string,
  arch: string,
  kernels: (Kernel & { name: string })[],
  launches: Map<string, Launch>,
  faults: string[],
): string {
  const names = ["regs", "stack", "local", "shared", "threads", "blocks", "warps"];
  const rows = kernels.map((kernel) => [kernel.name, ...row(arch, kernel, launches, faults)]);
  const isTiled = rows.some((row) => row.length > names.length + 2);
  const head = [title, ...names, "by"];
  if (isTiled) head.push("HMMA", "least", "instr", "issue", "memory", "special");
  const widths = head.map((_, i) =>
    Math.max(...[head, ...rows].map((row) => (row[i] ?? "").length))
  );
  return "\n" +
    [head, ...rows].map((cells) =>
      cells.map((cell, i) =>
        i === 0 || i === 8 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)
      ).join("  ").trimEnd()
    ).join("\n") + "\n";
}

/** The cells of a kernel, and what is wrong with it. */
function row(
  arch: string,
  { name, code, resources }: Kernel & { name: string },
  launches: Map<string, Launch>,
  faults: string[],
): string[] {
  const blame = (what: string) => faults.push(`${arch} ${name}: ${what}`);
  const launch = launches.get(name) ?? launches.get(name.replace(/<.*/, ""));
  const threads = launch?.threads ?? 256, shared = resources.shared + (launch?.shared ?? 0);
  const { registers, stack } = resources;
  const { blocks, share, limit } = occupancy(arch, { threads, registers, shared });
  if (stack > 0) blame(`${stack} bytes of stack`);
  const local = count(code, "LDL", "STL");
  if (local > 0) blame(`${local} accesses to local memory, as registers ran out`);
  const cells = [registers, stack, local, shared, threads, blocks].map(String);
  cells.push(`${Math.round(100 * share)}%`, limit);
  const turn = hottestTurn(code);
  if (turn === undefined) return cells;

  const { way, innerLoops } = turn;
  if (innerLoops > 0) blame("loops within the turn, whose instructions are counted once");
  const products = count(way, "HMMA");
  const time = products * PRODUCT_CYCLES[arch]!;
  const bound = (cycles: number) => Math.round(100 * time / cycles);
  const issue = bound(way.length);
  const wide = count(way, "LDSM", "LDGSTS"), small = count(way, "LDS", "STS");
  const figures = [issue, bound(16 * wide + 4 * small), bound(8 * count(way, "MUFU"))];
  if (launch === undefined) blame("scripts/static/launches.cu does not know it");
  else if (products !== launch.products) blame(`${products} HMMA, least ${launch.products}`);
  const least = LEAST_ISSUE[name.replace(/<.*/, "")];
  if (arch === "sm_80" && least !== undefined && issue < least) {
    blame(`issue slots allow ${issue}% of the tensor cores, not ${least}%`);
  }
  return [
    ...cells,
    ...[products, launch?.products ?? "?", way.length].map(String),
    ...figures.map((x) => isFinite(x) ? `${x}%` : "-"),
  ];
}

/** Writes the report or, with --check, prints how the sources have left it. */
async function main(isCheck: boolean): Promise<number> {
  const { code: built } = await new Deno.Command("scripts/cuda", { stderr: "inherit" }).output();
  if (built === 3) return skip("scripts/cuda cannot build the library");
  if (built !== 0) return built;
  const compiler = await findTool("nvcc");
  if (compiler === undefined) return skip("nvcc was looked for on PATH and in /usr/local/cuda/bin");
  const disassembler = await findDisassembler(CACHE);
  if ("missing" in disassembler) return skip(disassembler.missing);

  const text = await makeReport(compiler, disassembler.folder);
  if (!isCheck) {
    await Deno.writeTextFile(TEXT, text);
    console.log(`Wrote ${TEXT}`);
  } else if (!await isUnchanged(text)) {
    console.log("\nIf these changes are meant, run scripts/cuda_report and commit its text");
    return 1;
  }
  return 0;
}

/** Exit status 3: what cannot be done on this machine. */
function skip(reason: string): number {
  console.log(`No report on the CUDA kernels: ${reason}`);
  return 3;
}

/** Prints the lines that differ from the text in the repository; each compiler has its own code. */
async function isUnchanged(text: string): Promise<boolean> {
  const [expected, compiler] = [await Deno.readTextFile(TEXT), text].map((from) =>
    from.match(/^Compiler: .*$/m)?.[0]
  );
  if (expected !== compiler) {
    console.log(`${TEXT} was not compared: there ${expected}, here ${compiler}`);
    return true;
  }
  const found = `${CACHE}/REPORT.txt`;
  await Deno.writeTextFile(found, text);
  const labels = ["--label", TEXT, "--label", "this build"];
  const { code, stdout } = await new Deno.Command("diff", {
    args: ["-U0", ...labels, TEXT, found],
  }).output();
  await Deno.stdout.write(stdout);
  return code === 0;
}

if (import.meta.main) {
  Deno.chdir(fromFileUrl(new URL("../..", import.meta.url)));
  await Deno.mkdir(CACHE, { recursive: true });
  Deno.exit(await main(Deno.args.includes("--check")));
}
