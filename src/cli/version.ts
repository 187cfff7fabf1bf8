/** What this build is: version, commit, Deno, backends. @module */
import { join } from "@std/path";
import manifest from "../../deno.json" with { type: "json" };
import { libraryFolder, packedHome, sourceRoot } from "./program.ts";

/** What a build is made of. A packed program holds it in build.json beside its files. */
export interface Build {
  /** Release, from deno.json. */
  version: string;
  /** Commit of the sources, "+" when they differ from it, "unknown" without git. */
  commit: string;
  /** Backends inside: the names between `libllmpipe_` and `.so`. */
  backends: string[];
  /** How the file was packed: "launcher" or "compile"; "sources" when it is not packed. */
  road: "launcher" | "compile" | "sources";
}

/** Reads build.json of a packed program, or asks git and the file system about the sources. */
export async function readBuild(): Promise<Build> {
  const home = packedHome();
  if (home !== undefined) return JSON.parse(await Deno.readTextFile(join(home, "build.json")));
  return {
    version: manifest.version,
    commit: await gitCommit(sourceRoot()),
    backends: await listBackends(libraryFolder()),
    road: "sources",
  };
}

/** `llmpipe --version`, one fact per line. */
export async function versionText(): Promise<string> {
  const build = await readBuild();
  return `llmpipe ${build.version}
commit ${build.commit}
deno ${Deno.version.deno} (v8 ${Deno.version.v8}, ${Deno.build.target})
backends ${build.backends.join(", ") || "none"}`;
}

/** Commit of a work tree, with "+" when it has changes; "unknown" where git cannot tell. */
export async function gitCommit(root: string): Promise<string> {
  const head = await git(root, "rev-parse", "--short=12", "HEAD");
  if (head === undefined) return "unknown";
  const changes = await git(root, "status", "--porcelain", "--untracked-files=no");
  return changes ? `${head}+` : head;
}

/** Names of the backends whose library lies in a folder. */
export async function listBackends(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const backend = /^libllmpipe_([a-z]+)\.so$/.exec(name)?.[1];
      if (backend !== undefined) names.push(backend);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}

async function git(root: string, ...args: string[]): Promise<string | undefined> {
  try {
    const command = new Deno.Command("git", { args: ["-C", root, ...args], stderr: "null" });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined; // no git on this machine
    throw error;
  }
}
