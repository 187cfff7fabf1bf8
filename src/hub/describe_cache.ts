/** What the cache of models of hubs holds, for people. @module */
import { join } from "@std/path";
import { hubSettings } from "./hub_settings.ts";
import { statOrNone } from "./repo_cache.ts";

/** Whether models of a hub can be kept here. */
export interface CacheReport {
  /** absent: only models in directories of the user can be read. */
  state: "ok" | "absent";
  /** Where the cache is and what it holds, or why it cannot be used. */
  folder: string;
  /** Models of which some state was fetched. */
  models: number;
  /** Bytes of all contents, unfinished ones too. */
  bytes: number;
  /** Contents whose download was interrupted; the next one goes on with them. */
  unfinished: number;
  /** What the user should know of the settings, one sentence each. */
  notes: string[];
}

/**
 * Looks at the cache that the environment names. Nothing is asked of the network.
 *
 * @param get Reads an environment variable
 */
export function inspectCache(
  get: (name: string) => string | undefined = (name) => Deno.env.get(name),
): CacheReport {
  const report: CacheReport = {
    state: "absent",
    folder: "",
    models: 0,
    bytes: 0,
    unfinished: 0,
    notes: [],
  };
  try {
    const { cacheDir, endpoint, isOffline, token, tokenPlace } = hubSettings(get);
    report.folder = cacheDir;
    report.notes.push(isOffline ? "HF_HUB_OFFLINE is set: nothing is fetched" : `from ${endpoint}`);
    if (token !== undefined) report.notes.push(`token of ${tokenPlace}`);
    if (statOrNone(cacheDir) === undefined) {
      report.notes.push("empty; made when the first model is fetched");
      return { ...report, state: "ok" };
    }
    for (const { name } of Deno.readDirSync(cacheDir)) {
      if (name.startsWith("models--")) addModel(report, join(cacheDir, name));
    }
    Deno.removeSync(Deno.makeTempFileSync({ dir: cacheDir, prefix: ".llmpipe-" }));
    return { ...report, state: "ok" };
  } catch (error) {
    report.notes.push(error instanceof Error ? error.message : String(error));
    return report;
  }
}

function addModel(report: CacheReport, folder: string): void {
  if (statOrNone(join(folder, "snapshots"))?.isDirectory) report.models++;
  const blobs = join(folder, "blobs");
  if (!statOrNone(blobs)?.isDirectory) return;
  for (const { name } of Deno.readDirSync(blobs)) {
    report.bytes += statOrNone(join(blobs, name))?.size ?? 0;
    if (name.endsWith(".incomplete")) report.unfinished++;
  }
}
