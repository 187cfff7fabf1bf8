/** The programs that the report needs, and where they come from. @module */

/** Runs a program to its end and gives what it printed, on both streams. */
export async function run(program: string, args: string[], path?: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    ...(path === undefined ? {} : { env: { PATH: `${path}:${Deno.env.get("PATH")}` } }),
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  if (!success) throw new Error(`Cannot run ${program} ${args.join(" ")}:\n${text}`);
  return text;
}

/** The folder of `name`: on PATH, else in a toolkit where such are installed. */
export async function findTool(name: string): Promise<string | undefined> {
  const toolkit = Deno.env.get("CUDA_HOME") ?? "/usr/local/cuda";
  for (const folder of [...(Deno.env.get("PATH") ?? "").split(":"), `${toolkit}/bin`]) {
    if (await Deno.stat(`${folder}/${name}`).then(({ isFile }) => isFile, () => false)) {
      return folder;
    }
  }
  return undefined;
}

/**
 * The folder of cuobjdump and nvdisasm, or why there is none. Toolkits may lack them; the wheel of
 * triton, which pip fetches once into `cache`, has them.
 */
export async function findDisassembler(
  cache: string,
): Promise<{ folder: string } | { missing: string }> {
  const installed = await findTool("cuobjdump");
  if (installed !== undefined && await findTool("nvdisasm") !== undefined) {
    return { folder: installed };
  }
  const folder = `${cache}/triton/backends/nvidia/bin`;
  const isThere = () => Deno.stat(`${folder}/nvdisasm`).then(() => true, () => false);
  if (await isThere()) return { folder };
  const wheels = `${cache}/wheels`;
  try {
    await run("pip", [
      "download",
      "--quiet",
      "--no-deps",
      "--retries",
      "0",
      "-d",
      wheels,
      "triton",
    ]);
    for await (const { name } of Deno.readDir(wheels)) {
      const programs = ["cuobjdump", "nvdisasm"].map((tool) =>
        `triton/backends/nvidia/bin/${tool}`
      );
      await run("unzip", ["-q", "-o", `${wheels}/${name}`, ...programs, "-d", cache]);
    }
    await Deno.remove(wheels, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message.trim().split("\n").at(-1) : error;
    return {
      missing: `cuobjdump and nvdisasm are not installed, nor in a wheel of pip: ${reason}`,
    };
  }
  if (!await isThere()) return { missing: "cuobjdump and nvdisasm are not in the wheel of triton" };
  return { folder };
}
