/** How the emulated CUDA backend runs: csrc/emu/control.h. @module */
import { type Backend, libraryPaths } from "../../ffi/library.ts";

const SYMBOLS = {
  emu_set_order: { parameters: ["i32"], result: "void" },
  emu_set_deferred: { parameters: ["i32"], result: "void" },
  emu_counters: { parameters: ["buffer"], result: "void" },
  emu_count_sectors: { parameters: ["i32"], result: "void" },
  emu_sectors: { parameters: ["pointer", "buffer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

const opened = new Map<Backend, Deno.DynamicLibrary<typeof SYMBOLS>>();

/** Sets the order of threads (0 as numbered, -1 reversed, above 0 random) and when streams run. */
export function setEmulation(
  backend: Backend,
  { order, deferred }: { order: number; deferred: boolean },
): void {
  const { symbols } = open(backend);
  symbols.emu_set_order(order);
  symbols.emu_set_deferred(Number(deferred));
}

/** What the emulation has counted since it was opened: kernels, reads of tiles, their bank conflicts. */
export function countersOf(
  backend: Backend,
): { launches: number; matrixLoads: number; bankConflicts: number } {
  const counters = new BigUint64Array(9);
  open(backend).symbols.emu_counters(counters);
  const [launches, , , , , , , matrixLoads, bankConflicts] = Array.from(counters, Number);
  return { launches: launches!, matrixLoads: matrixLoads!, bankConflicts: bankConflicts! };
}

/** Bytes of the 32-byte sectors that kernels moved of a buffer, and how many of them they asked for. */
export interface Sectors {
  read: { moved: number; used: number };
  written: { moved: number; used: number };
}

/** Begins to count sectors anew, or ends it; only the race build sees the accesses of kernels. */
export function countSectors(backend: Backend, isOn: boolean): void {
  open(backend).symbols.emu_count_sectors(Number(isOn));
}

/** What was counted for a buffer from `alloc`. */
export function sectorsOf(backend: Backend, buffer: Deno.PointerObject): Sectors {
  const sums = new BigUint64Array(4);
  open(backend).symbols.emu_sectors(buffer, sums);
  const [readMoved, readUsed, writtenMoved, writtenUsed] = Array.from(sums, Number);
  return {
    read: { moved: readMoved!, used: readUsed! },
    written: { moved: writtenMoved!, used: writtenUsed! },
  };
}

/** The library that a backend is opened from. */
export function libraryOf(backend: Backend): string {
  const isFile = (path: string) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  };
  const path = libraryPaths(backend).find(isFile);
  if (path === undefined) throw new Error(`There is no library of ${backend}`);
  return path;
}

function open(backend: Backend): Deno.DynamicLibrary<typeof SYMBOLS> {
  let library = opened.get(backend);
  if (!library) {
    library = Deno.dlopen(libraryOf(backend), SYMBOLS);
    opened.set(backend, library);
  }
  return library;
}
