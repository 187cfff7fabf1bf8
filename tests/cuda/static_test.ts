/** What scripts/cuda_report reads out of machine code, on listings small enough to count by hand. @module */
import { assertEquals } from "@std/assert";
import { parseResources, shorten } from "../../scripts/static/objects.ts";
import { occupancy } from "../../scripts/static/occupancy.ts";
import { count, hottestTurn, parseSass } from "../../scripts/static/sass.ts";

/** A listing as cuobjdump prints it: an instruction every 16 bytes, each with its encoding. */
function listing(...lines: string[]): string {
  const encoding = "/* 0x00000a00ff017624 */";
  const code = lines.map((line, i) =>
    `        /*${(16 * i).toString(16).padStart(4, "0")}*/   ${line} ;   ${encoding}`
  );
  return ["\t\tFunction : kernel", ...code].join("\n");
}

const PRODUCT = "HMMA.16816.F32.BF16 R4, R8, R12, R4";

Deno.test("a turn of a loop counts the way of a tile that needs no mask, but all its copies", () => {
  const code = parseSass(listing(
    "MOV R1, c[0x0][0x28]",
    "ISETP.GE.AND P1, PT, R2, R3, PT", // 0x10: the loop
    "@P1 BRA 0x40", // no copy is left to start
    "LDGSTS.E.BYPASS.128 [R5], [R6.64]",
    PRODUCT,
    "@!P0 BRA 0x80", // 0x50: a whole tile skips the mask
    "FSEL R4, R4, -INF, P2",
    "FSEL R5, R5, -INF, P3",
    PRODUCT, // 0x80
    "@P4 BRA 0x10",
    "EXIT",
  )).get("kernel")!;
  assertEquals(code.length, 11);
  const { way, innerLoops } = hottestTurn(code)!;
  assertEquals(way.length, 7);
  assertEquals(way.map(({ address }) => address / 16), [1, 2, 3, 4, 5, 8, 9]);
  assertEquals([count(way, "HMMA"), count(way, "LDGSTS"), count(way, "FSEL")], [2, 1, 0]);
  assertEquals(innerLoops, 0);
});

Deno.test("a turn knows of inner loops, and a loop without products is none", () => {
  const code = parseSass(listing(
    PRODUCT,
    "IMAD.WIDE.U32 R2, R3, R4, RZ", // 0x10: the inner loop
    "@P0 BRA 0x10",
    "@P1 BRA 0x0",
    "IADD3 R0, R0, 0x1, RZ", // 0x40: a loop of its own
    "@P2 BRA 0x40",
    "EXIT",
  )).get("kernel")!;
  const { way, innerLoops } = hottestTurn(code)!;
  assertEquals([way.length, innerLoops], [4, 1]);
  assertEquals(hottestTurn(code.slice(4)), undefined);
});

Deno.test("a way does not fall through an unconditional jump or an exit", () => {
  const code = parseSass(listing(
    PRODUCT,
    "BRA 0x40",
    PRODUCT, // never reached
    "EXIT",
    "@P1 EXIT",
    "@P0 BRA 0x0",
  )).get("kernel")!;
  assertEquals(hottestTurn(code)!.way.map(({ address }) => address / 16), [0, 1, 4, 5]);
});

Deno.test("occupancy is that of NVIDIA's calculator, and names what limits it", () => {
  const of = (arch: string, threads: number, registers: number, shared: number) => {
    const { blocks, limit } = occupancy(arch, { threads, registers, shared });
    return `${blocks} ${limit}`;
  };
  assertEquals(of("sm_80", 256, 32, 0), "8 threads");
  assertEquals(of("sm_80", 32, 16, 0), "32 blocks");
  assertEquals(of("sm_80", 128, 145, 40960), "3 registers");
  assertEquals(of("sm_80", 128, 128, 50000), "3 shared memory");
  assertEquals(of("sm_90", 128, 128, 58000), "3 shared memory");
  assertEquals(of("sm_90", 128, 255, 81920), "2 registers");
});

Deno.test("resources are those of the architecture, without the system's shared memory", () => {
  const text = `
Fatbin elf code:
================
arch = sm_80
code version = [1,7]

Resource usage:
 Common:
  GLOBAL:0
 Function kernel:
  REG:40 STACK:8 SHARED:128 LOCAL:0 CONSTANT[0]:496 TEXTURE:0

Fatbin elf code:
================
arch = sm_90
 Function kernel:
  REG:42 STACK:0 SHARED:1152 LOCAL:0 CONSTANT[0]:600 TEXTURE:0
`;
  assertEquals([...parseResources("sm_80", text)], [
    ["kernel", { registers: 40, stack: 8, shared: 128 }],
  ]);
  assertEquals([...parseResources("sm_90", text)], [
    ["kernel", { registers: 42, stack: 0, shared: 128 }],
  ]);
});

Deno.test("names of kernels keep what tells them apart", () => {
  const name = "void lp::(anonymous namespace)::attention_forward<__nv_bfloat16, 64, " +
    "(lp::(anonymous namespace)::Extras)1>(lp::Attention, __nv_bfloat16 const*)";
  assertEquals(shorten(name), "attention_forward<bf16,64,1>");
  assertEquals(shorten("lp::scan(int, float*)"), "scan");
});
