/** `llmpipe doctor`. @module */
import { dirname } from "@std/path";
import {
  checkFolder,
  checkLoopback,
  checkPrivate,
  describeHugePages,
  describeMemory,
  describeNetwork,
  describeProcessor,
  type Finding,
} from "../monitor/machine.ts";
import { formatBytes } from "../monitor/format_bytes.ts";
import { inspectCache } from "../hub/describe_cache.ts";
import { describeBackends } from "../tensor/describe_backends.ts";
import { deviceChoice, readFlags, toggle } from "./flags.ts";
import { libraryFolder, packedHome } from "./program.ts";
import { UsageError } from "./usage_error.ts";
import { versionText } from "./version.ts";

/**
 * Prints what works on this machine and why the rest does not; or tests the kernels of its GPUs.
 *
 * @returns 1 when something that every run needs, or the device that was asked for, does not work
 */
export async function doctor(args: string[]): Promise<number> {
  const flags = readFlags(args, { "device": deviceChoice, "gpu-selftest": toggle });
  if (flags["gpu-selftest"]) {
    if (flags.device === "cpu") throw new UsageError("--gpu-selftest needs a GPU: --device is cpu");
    const { selftest } = await import("./gpu_selftest.ts");
    return selftest(flags.device === undefined || flags.device === "auto" ? "cuda" : flags.device);
  }
  const home = packedHome();
  const backends = describeBackends(flags.device);
  const sections: [string, Finding[]][] = [
    ["Machine", [describeProcessor(), describeMemory(), describeHugePages()]],
    ["Backends", backends],
    ["Files", [
      ...(home === undefined
        ? []
        : [await checkPrivate("unpacked", dirname(dirname(libraryFolder())))]),
      await checkFolder("temporary", Deno.env.get("TMPDIR") || "/tmp"),
      await checkFolder("here", Deno.cwd()),
      describeHubCache(),
    ]],
    ["Network", [await checkLoopback(), describeNetwork()]],
  ];
  console.log(await versionText());
  const width = Math.max(...sections.flatMap(([, all]) => all.map(({ name }) => name.length)));
  for (const [title, findings] of sections) {
    console.log(`\n${title}`);
    for (const { name, state, text } of findings) {
      console.log(`  ${state.padEnd(6)}  ${name.padEnd(width)}  ${text}`);
    }
  }
  return sections.some(([, all]) => all.some(({ state }) => state === "fails")) ? 1 : 0;
}

function describeHubCache(): Finding {
  const { state, folder, models, bytes, unfinished, notes } = inspectCache();
  const interrupted = unfinished > 0 ? ` (${unfinished} files unfinished)` : "";
  const parts = [folder, `${models} models, ${formatBytes(bytes)}${interrupted}`, ...notes];
  return { name: "hub cache", state, text: parts.filter((part) => part !== "").join(", ") };
}
