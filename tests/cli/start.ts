/** Starts a program and collects what it prints. @module */
import { fromFileUrl } from "@std/path";

/** Root of the sources. */
export const ROOT: string = fromFileUrl(new URL("../..", import.meta.url));

/** How a program ended. */
export interface Ended {
  /** Exit status. */
  code: number;
  /** All of stdout. */
  stdout: string;
  /** All of stderr. */
  stderr: string;
}

/** Starts a program with this environment and nothing else, and waits for its end. */
export async function start(
  program: string,
  args: string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Promise<Ended> {
  const { env = {}, cwd = ROOT } = options;
  const command = new Deno.Command(program, { args, env, cwd, clearEnv: true, stdin: "null" });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Runs `llmpipe ARGS` from the sources. */
export function llmpipe(...args: string[]): Promise<Ended> {
  const env = { ...Deno.env.toObject(), NO_COLOR: "1" };
  return start(Deno.execPath(), ["run", "-A", "--quiet", "main.ts", ...args], { env });
}

/** A folder that is removed when the scope ends. */
export class TemporaryFolder implements AsyncDisposable {
  /** Its absolute path. */
  readonly path: string = Deno.makeTempDirSync({ prefix: "llmpipe_test_" });
  /** Removes it and all in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}
