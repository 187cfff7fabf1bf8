/** Reference models, and copies of them that a test may break. @module */
import { fromFileUrl, join } from "@std/path";
import { createHash } from "node:crypto";
import { type ModelSource, openModel } from "../../src/checkpoint/model_source.ts";

/** The folder of all reference data. */
export const FIXTURES = fromFileUrl(new URL("../fixtures", import.meta.url));

/** A Hugging Face directory of a reference model, such as `llama/hf_bf16`. */
export function model(name: string): string {
  return join(FIXTURES, "models", name);
}

/** Runs `body` with an empty directory, removed afterwards. */
export async function withDir(body: (dir: string) => void | Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-test-" });
  try {
    await body(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Copies the files of a directory. */
export function copyFiles(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name, isFile } of Deno.readDirSync(from)) {
    if (isFile) Deno.copyFileSync(join(from, name), join(to, name));
  }
}

/** SHA-256 in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The bytes of a tensor. */
export function bytesOf(source: ModelSource, layer: number, name: string): Uint8Array {
  const bytes = new Uint8Array(source.entry(layer, name).bytes);
  source.read(layer, name, bytes);
  return bytes;
}

/** Type, shape and hash of every tensor by `layer/name`. */
export function describe(dir: string): Record<string, string> {
  using source = openModel(dir);
  const described: Record<string, string> = {};
  for (let layer = 0; layer < source.layerCount; layer++) {
    for (const name of source.names(layer)) {
      const { dtype, shape } = source.entry(layer, name);
      described[`${layer}/${name}`] = `${dtype} ${shape} ${sha256(bytesOf(source, layer, name))}`;
    }
  }
  return described;
}
