/** How many blocks of a kernel a multiprocessor holds at once. @module */

/** What a multiprocessor has. */
interface Multiprocessor {
  threads: number;
  blocks: number;
  registers: number;
  /** Bytes of shared memory, and of those what the system takes of each block. */
  shared: number;
  reserved: number;
}

/** CUDA C++ programming guide, technical specifications for each compute capability. */
const MULTIPROCESSORS: Record<string, Multiprocessor> = {
  sm_80: { threads: 2048, blocks: 32, registers: 65536, shared: 164 << 10, reserved: 1024 },
  sm_90: { threads: 2048, blocks: 32, registers: 65536, shared: 228 << 10, reserved: 1024 },
};

/** Blocks of a multiprocessor, its share of warps in use, and what keeps it from holding more. */
export interface Occupancy {
  blocks: number;
  share: number;
  limit: "threads" | "blocks" | "registers" | "shared memory";
}

/**
 * Registers come in units of 256 for a warp, which is bound to one of four partitions; shared
 * memory in units of 128 bytes.
 *
 * @param shared Bytes that a block asks for, static and dynamic
 * @see cuda_occupancy.h of the toolkit
 */
export function occupancy(
  arch: string,
  { threads, registers, shared }: { threads: number; registers: number; shared: number },
): Occupancy {
  const sm = MULTIPROCESSORS[arch];
  if (sm === undefined) throw new RangeError(`No figures are known of ${arch}`);
  const warps = Math.ceil(threads / 32);
  const ofWarp = Math.ceil(Math.max(registers, 1) * 32 / 256) * 256;
  const limits = {
    "threads": Math.floor(sm.threads / (warps * 32)),
    "blocks": sm.blocks,
    "registers": Math.floor(4 * Math.floor(sm.registers / 4 / ofWarp) / warps),
    "shared memory": Math.floor(sm.shared / (Math.ceil(shared / 128) * 128 + sm.reserved)),
  };
  const blocks = Math.min(...Object.values(limits));
  const limit = (Object.keys(limits) as Occupancy["limit"][]).find((k) => limits[k] === blocks)!;
  return { blocks, share: blocks * warps * 32 / sm.threads, limit };
}
