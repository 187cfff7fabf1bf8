/** What a rank asks of the operating system. @module */

/** Number of prctl's option, from linux/prctl.h. */
const PR_SET_PDEATHSIG = 1;
/** Number of the signal. */
const SIGKILL = 9;

/**
 * Makes the kernel kill this process when its parent ends, however that ends.
 *
 * @param parentPid Process that must still be there
 * @throws {Error} If it is not, or the kernel refuses
 */
export function endWithParent(parentPid: number): void {
  const libc = Deno.dlopen("libc.so.6", {
    prctl: { parameters: ["i32", "u64"], result: "i32" },
  });
  try {
    const status = libc.symbols.prctl(PR_SET_PDEATHSIG, BigInt(SIGKILL));
    if (status !== 0) throw new Error("Cannot bind this process to its parent: prctl failed");
  } finally {
    libc.close();
  }
  // It may have ended before the kernel was asked.
  try {
    Deno.statSync(`/proc/${parentPid}`);
  } catch (cause) {
    throw new Error(`Cannot start as the supervisor, process ${parentPid}, is gone`, { cause });
  }
}
