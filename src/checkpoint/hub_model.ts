/** Models named by their place on a hub: fetched into the cache, then read like any directory. @module */
import { dirname, join } from "@std/path";
import { ConfigError } from "../config/config_error.ts";
import { fetchFiles, type FetchOptions } from "../hub/fetch_files.ts";
import { HubClient } from "../hub/hub_client.ts";
import { HubFailure, HubRefusal } from "../hub/hub_error.ts";
import { formatHubName, type HubName, parseHubName } from "../hub/hub_name.ts";
import { type HubSettings, hubSettings } from "../hub/hub_settings.ts";
import { RepoCache, statOrNone } from "../hub/repo_cache.ts";
import { identifyFile, listCommit, type ListedFile, resolveCommit } from "../hub/repository.ts";
export type { HubNeed } from "./hub_files.ts";
import { companionFiles, type HubNeed, indexedFiles, weightFiles } from "./hub_files.ts";
import { extraFiles } from "./extra_files.ts";
import { copyFile } from "./copy_file.ts";
import { listFiles } from "./model_dir.ts";
import { requireFreeSpace } from "./output_dir.ts";
import { buildDirectory } from "./unfinished_dir.ts";

/** How a model is fetched. */
export interface HubOptions extends FetchOptions {
  /** What it is needed for. */
  need: HubNeed;
  /** Called with what the user should know, one sentence each. */
  onNotice?: ((text: string) => void) | undefined;
  /** Hub and cache; those of the environment unless given. */
  settings?: HubSettings;
}

/** A model in the cache. */
export interface FetchedModel {
  /** The directory with its files. */
  dir: string;
  /** The state that was fetched; undefined for a directory of the user. */
  pinned: string | undefined;
}

/** A path that is no directory and could be a name on a hub: `ORGANISATION/MODEL[@REVISION]`. */
export function hubNameOf(path: string): HubName | undefined {
  const found = parseHubName(path);
  const isMeant = found?.name.includes("/") && !/\.(safetensors|pt|bin|json)$/.test(path);
  return isMeant && statOrNone(path) === undefined ? found : undefined;
}

/**
 * The directory of a model that is given as a path or by its name on a hub. What is there as a path
 * is never looked up. Missing files are fetched into the cache.
 *
 * @throws {ConfigError} If the hub has no such model, or the disk no room
 * @throws {HubFailure} If the hub cannot be reached and the cache does not have it
 */
export async function localModel(path: string, options: HubOptions): Promise<FetchedModel> {
  const wanted = hubNameOf(path);
  if (wanted === undefined) return { dir: path, pinned: undefined };
  try {
    return await fetchModel(wanted, options);
  } catch (error) {
    const told = error instanceof Error ? `${error.message}; nor is there a directory ${path}` : "";
    if (error instanceof HubRefusal) throw new ConfigError(told, { cause: error });
    if (error instanceof HubFailure) throw new HubFailure(told, { cause: error });
    throw error;
  }
}

/** The directory of a model that {@linkcode localModel} has fetched; asks no hub. */
export function cachedModel(path: string, settings?: HubSettings): string {
  const wanted = hubNameOf(path);
  if (wanted === undefined) return path;
  const { cacheDir } = settings ?? hubSettings();
  const dir = new RepoCache(cacheDir, wanted.name).latestSnapshot(wanted.revision);
  if (dir !== undefined) return dir;
  throw new ConfigError(`Cannot find the model ${path}: neither a directory nor in ${cacheDir}`);
}

/**
 * Fetches a model and writes it to a directory. Weights share their bytes with the cache where one
 * file system holds both.
 *
 * @returns What was written, and where it came from
 * @throws {ConfigError} If the name or the directory cannot be used
 * @throws {HubFailure} If the hub fails
 */
export async function saveHubModel(
  text: string,
  savePath: string,
  options: Omit<HubOptions, "need"> & { force: boolean },
): Promise<{ pinned: string; files: number; bytes: number }> {
  const wanted = parseHubName(text);
  if (wanted === undefined) {
    throw new ConfigError(
      `Cannot fetch a model as its name must be ORGANISATION/MODEL or ` +
        `ORGANISATION/MODEL@REVISION: current name is ${text}`,
    );
  }
  const { force } = options;
  const output = { force, plan: `download ${formatHubName(wanted)}`, bytes: 0 };
  return await buildDirectory(savePath, output, async ({ dir }) => {
    const { dir: from, pinned } = await fetchModel(wanted, { ...options, need: "weights" });
    const weights = weightsIn(from);
    const names = [...new Set([...companionFiles(extraFiles(from)), ...weights])];
    let bytes = 0;
    for (const name of names) {
      Deno.mkdirSync(dirname(join(dir, name)), { recursive: true });
      bytes += copyFile(join(from, name), join(dir, name), { share: weights.includes(name) });
    }
    return { pinned, files: names.length, bytes };
  });
}

async function fetchModel(
  wanted: HubName,
  options: HubOptions,
): Promise<{ dir: string; pinned: string }> {
  const settings = options.settings ?? hubSettings();
  const cache = new RepoCache(settings.cacheDir, wanted.name);
  const cached = completeSnapshot(cache, wanted, options.need);
  if (settings.isOffline) {
    if (cached !== undefined) return cached;
    throw new HubRefusal(
      `Cannot fetch ${formatHubName(wanted)} as HF_HUB_OFFLINE is set, and ${settings.cacheDir} ` +
        `does not have all of it: unset it, or fetch the model where there is a network`,
    );
  }
  const client = new HubClient(settings, wanted);
  let commit: string;
  try {
    commit = await resolveCommit(client, cached ? { retryDelaysMs: [] } : {});
  } catch (error) {
    const isUnknown = error instanceof HubRefusal && error.isRevision;
    if (cached === undefined || isUnknown) throw error;
    options.onNotice?.(`${(error as Error).message}; going on with ${cached.pinned} of the cache`);
    return cached;
  }
  const dir = await fetchCommit(client, cache, commit, options);
  return { dir, pinned: `${wanted.name}@${commit}` };
}

/** Brings what is missing of a commit into the cache. Returns its folder. */
async function fetchCommit(
  client: HubClient,
  cache: RepoCache,
  commit: string,
  options: HubOptions,
): Promise<string> {
  const { model: { name, revision }, settings: { cacheDir } } = client;
  const listed = new Map((await listCommit(client, commit)).map((file) => [file.path, file]));
  const paths = [...listed.keys()];
  const bring = async (wanted: readonly string[], how: FetchOptions) => {
    const files = wanted.map((path) => listed.get(path)!);
    const missing = await missingFiles(client, cache, commit, files);
    if (missing.length === 0) return;
    prepareCache(cacheDir, missing.reduce((sum, file) => sum + cache.missingBytes(file), 0));
    await fetchFiles(client, cache, commit, missing, how);
  };
  const companions = companionFiles(paths);
  if (companions.length === 0) {
    throw new ConfigError(`Cannot use ${name} as it must have a config.json: it has none`);
  }
  const weights = options.need === "weights" ? weightFiles(paths) : { names: [] };
  if (weights === undefined) {
    throw new ConfigError(
      `Cannot use ${name} as it must hold safetensors or PyTorch weights: its files are ` +
        listNames(paths),
    );
  }
  if ("names" in weights) await bring([...companions, ...weights.names], options);
  else {
    await bring([weights.index], { signal: options.signal });
    const names = indexedFiles(cache.snapshot(commit), weights.index);
    const lost = names.filter((path) => !listed.has(path));
    if (lost.length > 0) {
      throw new ConfigError(
        `Cannot use ${name} as it must hold all files of ${weights.index}: it lacks ` +
          listNames(lost),
      );
    }
    await bring([...companions, ...names], options);
  }
  try {
    cache.writeRef(revision, commit);
  } catch (error) { // a cache that cannot be written may still have all files
    options.onNotice?.(
      `Cannot note in ${cacheDir} what ${revision} is: ${(error as Error).message}`,
    );
  }
  return cache.snapshot(commit);
}

function listNames(paths: readonly string[]): string {
  return paths.slice(0, 8).join(", ") + (paths.length > 8 ? ", ..." : "");
}

async function missingFiles(
  client: HubClient,
  cache: RepoCache,
  commit: string,
  listed: readonly ListedFile[],
) {
  const files = await Promise.all(listed.map((file) => identifyFile(client, commit, file)));
  return files.filter((file) => !cache.has(commit, file));
}

function prepareCache(dir: string, bytes: number): void {
  try {
    Deno.mkdirSync(dir, { recursive: true });
  } catch (cause) {
    throw new ConfigError(
      `Cannot write to the cache ${dir}: ${(cause as Error).message} (HF_HOME names another place)`,
      { cause },
    );
  }
  requireFreeSpace(dir, bytes);
}

/** What the cache has of a revision, if that is all that is needed. */
function completeSnapshot(
  cache: RepoCache,
  { name, revision }: HubName,
  need: HubNeed,
): { dir: string; pinned: string } | undefined {
  const dir = cache.latestSnapshot(revision);
  if (dir === undefined) return undefined;
  const there = listFiles(dir);
  const isComplete = need === "config" ? companionFiles(there).length > 0 : hasWeights(dir, there);
  return isComplete ? { dir, pinned: `${name}@${dir.slice(dir.lastIndexOf("/") + 1)}` } : undefined;
}

function hasWeights(dir: string, there: readonly string[]): boolean {
  if (!there.includes("config.json") || weightFiles(there) === undefined) return false;
  return weightsIn(dir).every((name) => there.includes(name));
}

/** Names of the files with weights in a directory, and of their index. */
function weightsIn(dir: string): string[] {
  const found = weightFiles(listFiles(dir));
  if (found === undefined) return [];
  return "names" in found ? found.names : [found.index, ...indexedFiles(dir, found.index)];
}
