/** Builds the launcher of the self-unpacking program. @module */
import { join } from "@std/path";

/**
 * Compiles launcher.c into one static ELF.
 *
 * @param sources Folder of launcher.c
 * @param out Overwritten with the ELF
 * @throws {Error} If the compiler fails; the message holds its text
 */
export async function buildLauncher(sources: string, out: string): Promise<void> {
  await Deno.mkdir(join(out, ".."), { recursive: true });
  const flags = ["-std=c17", "-O3", "-Wall", "-Wextra", "-Werror", "-static", "-s"];
  const { success, stderr } = await new Deno.Command("cc", {
    args: [...flags, join(sources, "launcher.c"), "-o", out, "-l:libzstd.a"],
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`Cannot build the launcher:\n${new TextDecoder().decode(stderr)}`);
}
