/** What this machine offers a run: processor, memory, folders, network. @module */
import { statfsSync } from "node:fs";
import { formatBytes } from "./format_bytes.ts";

/** One finding about this machine. */
export interface Finding {
  /** What was looked at, one word or two. */
  name: string;
  /** fails: no run can do with it as it is. absent: some runs could use it. */
  state: "ok" | "absent" | "fails";
  /** What was found, and when it is not ok, why and what to change. */
  text: string;
}

/** Model and usable cores of the processor. */
export function describeProcessor(): Finding {
  const info = readText("/proc/cpuinfo") ?? "";
  const model = /^model name\s*:\s*(.*)$/m.exec(info)?.[1] ?? Deno.build.arch;
  const cores = navigator.hardwareConcurrency;
  return { name: "processor", state: "ok", text: `${model}, ${cores} usable cores` };
}

/** Memory of the machine, and of the control group where that is less. */
export function describeMemory(): Finding {
  const { total, available } = Deno.systemMemoryInfo();
  const limit = Number(readText("/sys/fs/cgroup/memory.max") ?? NaN);
  const text = `${formatBytes(total)}, ${formatBytes(available)} available` +
    (limit < total ? `, limited to ${formatBytes(limit)} for this process` : "");
  return { name: "memory", state: "ok", text };
}

/** Whether the kernel backs large allocations with huge pages. */
export function describeHugePages(): Finding {
  const setting = readText("/sys/kernel/mm/transparent_hugepage/enabled");
  const mode = /\[(\w+)\]/.exec(setting ?? "")?.[1];
  const isOff = mode === undefined || mode === "never";
  const state = isOff ? "absent" : "ok";
  const text = isOff
    ? "none: slower (as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled)"
    : `transparent, ${mode}`;
  return { name: "huge pages", state, text };
}

/**
 * Whether files can be written to a folder, and how much room there is.
 *
 * @param name What the folder is for
 * @param folder Its path; must exist
 */
export async function checkFolder(name: string, folder: string): Promise<Finding> {
  try {
    await Deno.remove(await Deno.makeTempFile({ dir: folder, prefix: ".llmpipe-" }));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { name, state: "fails", text: `${folder} cannot be written to: ${reason}` };
  }
  const { bavail, bsize } = statfsSync(folder);
  return { name, state: "ok", text: `${folder}, ${formatBytes(bavail * bsize)} free` };
}

/**
 * Whether only this user can write to the folder that the program was unpacked to; what others can
 * change there would run with this user's rights.
 */
export async function checkPrivate(name: string, folder: string): Promise<Finding> {
  const { mode, uid } = await Deno.stat(folder);
  if (uid !== Deno.uid()) {
    return { name, state: "fails", text: `${folder} belongs to user ${uid}, not to ${Deno.uid()}` };
  }
  if (mode! & 0o022) {
    return { name, state: "fails", text: `others can write to ${folder}: chmod go-w ${folder}` };
  }
  return { name, state: "ok", text: `${folder}, private to this user` };
}

/** Whether processes of this machine can talk to each other over TCP, as ranks do. */
export async function checkLoopback(): Promise<Finding> {
  const name = "loopback";
  try {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { hostname, port } = listener.addr;
    const [client, server] = await Promise.all([
      Deno.connect({ hostname, port }),
      listener.accept(),
    ]);
    client.close();
    server.close();
    return { name, state: "ok", text: "connects to itself on 127.0.0.1" };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { name, state: "fails", text: `cannot connect to 127.0.0.1: ${reason}` };
  }
}

/** Addresses of the network interfaces that other machines may reach. */
export function describeNetwork(): Finding {
  const addresses = Deno.networkInterfaces()
    .filter(({ address, family }) => family === "IPv4" && !address.startsWith("127."))
    .map(({ name, address }) => `${name} ${address}`);
  const text = addresses.join(", ") || "no address but loopback: runs on this machine alone";
  return { name: "network", state: "ok", text };
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined; // not on this kernel
  }
}
