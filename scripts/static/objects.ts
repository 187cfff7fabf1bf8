/** The CUDA library's objects, and what stands in them of each kernel. @module */
import { type Instruction, parseSass } from "./sass.ts";
import { run } from "./tools.ts";

/** What a kernel takes of a multiprocessor. */
export interface Resources {
  registers: number;
  /** Bytes of the stack of a thread: spilled registers and arrays that are not in registers. */
  stack: number;
  /** Bytes of static shared memory. */
  shared: number;
}

/** A kernel of an object, by its mangled name. */
export interface Kernel {
  mangled: string;
  code: Instruction[];
  resources: Resources;
}

/** Bytes that the system takes of a block's shared memory and that count as the kernel's own. */
const SYSTEM_SHARED: Record<string, number> = { sm_90: 1024 };

/** The part of what cuobjdump printed that is about one architecture. */
function partOf(arch: string, text: string): string {
  const parts = text.split(/^arch = /m).slice(1);
  return parts.filter((part) => part.startsWith(`${arch}\n`)).join("\n");
}

/** What `cuobjdump -res-usage` says of the kernels of an architecture. */
export function parseResources(arch: string, text: string): Map<string, Resources> {
  const pattern = /Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)/g;
  return new Map([...partOf(arch, text).matchAll(pattern)].map(([, name, ...figures]) => {
    const [registers, stack, shared] = figures.map(Number);
    return [name!, {
      registers: registers!,
      stack: stack!,
      shared: Math.max(0, shared! - (SYSTEM_SHARED[arch] ?? 0)), // 0 where there is none at all
    }];
  }));
}

/** The kernels of an object, for each architecture. */
export async function readKernels(
  object: string,
  archs: string[],
  disassembler: string,
): Promise<Map<string, Kernel[]>> {
  const dump = (what: string) => run(`${disassembler}/cuobjdump`, [what, object], disassembler);
  const [sass, usage] = await Promise.all([dump("-sass"), dump("-res-usage")]);
  return new Map(archs.map((arch) => {
    const code = parseSass(partOf(arch, sass));
    const kernels = [...parseResources(arch, usage)].map(([mangled, resources]) => ({
      mangled,
      code: code.get(mangled) ?? [],
      resources,
    }));
    return [arch, kernels];
  }));
}

/**
 * Names of kernels as the sources have them, without what all share.
 *
 * @example `attention_forward<bf16,64,0>`
 */
export async function demangle(names: string[]): Promise<string[]> {
  const child = new Deno.Command("c++filt", { stdin: "piped", stdout: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(names.join("\n")));
  await writer.close();
  const text = new TextDecoder().decode((await child.output()).stdout);
  return text.split("\n").map(shorten);
}

/** A demangled kernel without return type, namespaces, casts of constants and parameters. */
export function shorten(name: string): string {
  const plain = name.replace(/^void /, "")
    .replace(/\(anonymous namespace\)::|lp::/g, "")
    .replace(/\((int|bool|unsigned int|Extras|Side)\)/g, "")
    .replaceAll("__nv_bfloat16", "bf16").replaceAll("__half", "f16").replaceAll(", ", ",");
  let depth = 0;
  for (let i = 0; i < plain.length; i++) {
    if (plain[i] === "<") depth++;
    if (plain[i] === ">") depth--;
    if (plain[i] === "(" && depth === 0) return plain.slice(0, i);
  }
  return plain;
}
