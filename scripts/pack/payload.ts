/** Writes the self-unpacking program; launcher.c documents the layout. @module */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { constants, zstdCompressSync } from "node:zlib";
import { join, relative } from "@std/path";
import { filesBelow } from "./files.ts";

/**
 * Appends everything below `folder` to the launcher.
 *
 * @param out Overwritten with the program
 * @param options.launcher The launcher's ELF
 * @param options.folder The files to unpack
 * @param options.level zstd compression level
 */
export async function writePayload(
  out: string,
  options: { launcher: string; folder: string; level: number },
): Promise<void> {
  const { launcher, folder, level } = options;
  const index: Uint8Array[] = [];
  const files: Uint8Array[] = [];
  for (const path of await filesBelow(folder)) {
    const bytes = await Deno.readFile(path);
    files.push(bytes);
    index.push(indexEntry(relative(folder, path), bytes.length));
  }
  const stub = await Deno.readFile(launcher);
  const names = Buffer.concat(index);
  const data = zstdCompressSync(Buffer.concat(files), {
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_windowLog]: 27 },
  });
  const footer = new Uint8Array(72);
  const view = new DataView(footer.buffer);
  const numbers = [stub.length, names.length, stub.length + names.length, data.length];
  numbers.forEach((value, i) => view.setBigUint64(8 * i, BigInt(value), true));
  footer.set(createHash("sha256").update(names).update(data).digest(), 32);
  footer.set(new TextEncoder().encode("LLMPIPE2"), 64);
  const temporary = join(out, `../.llmpipe-${Deno.pid}`);
  await Deno.writeFile(temporary, Buffer.concat([stub, names, data, footer]), { mode: 0o755 });
  await Deno.rename(temporary, out); // a running program keeps its old file
}

/** u64 size, u32 mode, u32 length of the name, name. */
function indexEntry(name: string, size: number): Uint8Array {
  const text = new TextEncoder().encode(name);
  const entry = new Uint8Array(16 + text.length);
  const view = new DataView(entry.buffer);
  view.setBigUint64(0, BigInt(size), true);
  view.setUint32(8, name === "deno" || name.includes(".so") ? 0o700 : 0o600, true);
  view.setUint32(12, text.length, true);
  entry.set(text, 16);
  return entry;
}
