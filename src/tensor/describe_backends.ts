/** Which backends work on this machine. @module */
import { existsSync } from "node:fs";
import { describeBackend } from "../../ffi/context.ts";
import { type Backend, libraryPaths } from "../../ffi/library.ts";
import { formatBytes } from "../monitor/format_bytes.ts";
import type { Finding } from "../monitor/machine.ts";
import type { DeviceChoice } from "./choose_backend.ts";

/** The CPU backend, which every program has, and CUDA; or the one that has to work. */
export function describeBackends(choice: DeviceChoice = "auto"): Finding[] {
  if (choice !== "auto") return [describe(choice, "fails")];
  return [describe("cpu", "fails"), describe("cuda", "absent")];
}

/** `otherwise`: what it means when the backend does not work. */
function describe(backend: Backend, otherwise: "absent" | "fails"): Finding {
  const file = libraryPaths(backend).find((path) => existsSync(path));
  if (file === undefined && backend !== "cpu") {
    return { name: backend, state: otherwise, text: "not in this program" };
  }
  try {
    const { isa, libraries, devices, reason } = describeBackend(backend);
    const versions = Object.entries(libraries).map(([name, version]) => `${name} ${version}`);
    const facts = [...(isa === undefined ? [] : [isa]), ...versions];
    for (const { name, memory_bytes, cores, dtypes, products } of devices) {
      const count = cores === undefined ? "" : `, ${cores} cores`;
      const arithmetic = [...dtypes, ...products.filter((name) => name !== "exact")].join(" ");
      facts.push(`${name}${count}, ${formatBytes(memory_bytes)}, ${arithmetic}`);
    }
    const isWhole = backend === "cpu" || "cublaslt" in libraries;
    const state = devices.length > 0 && isWhole ? "ok" : otherwise;
    return { name: backend, state, text: [...facts, reason, file].filter(Boolean).join("; ") };
  } catch (error) {
    return { name: backend, state: otherwise, text: (error as Error).message };
  }
}
