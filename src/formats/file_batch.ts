/** Many files of a directory that nobody reads yet. @module */
import { nameFile } from "./file_bytes.ts";

/** A file begins to be flushed in parts of so many bytes while it is still being written. */
const PART_BYTES = 64 << 20;

/**
 * Writes files one after another while the disk still flushes those before. The files stand under
 * their names at once, so the directory must be one that only gets its own name after `flush`.
 */
export class FileBatch {
  readonly #flushes: Promise<void>[] = [];
  readonly #errors: unknown[] = [];
  #path = "";
  #flushing = 0;
  #unflushed = 0;

  /**
   * Writes one file and begins to flush it.
   *
   * @param write Writes the contents
   * @param onDisk Called when they are on the disk
   * @returns What `write` returned
   * @throws {Error} If the system refuses; its error is the cause
   */
  async write<T>(
    path: string,
    write: (file: Deno.FsFile) => T,
    onDisk: () => void = () => {},
  ): Promise<T> {
    this.#path = path;
    this.#flushing = this.#unflushed = 0;
    let file: Deno.FsFile | undefined;
    let result: T;
    try {
      file = Deno.openSync(path, { write: true, createNew: true });
      result = write(file);
    } catch (error) {
      file?.close();
      throw nameFile(path, error);
    }
    this.#flushes.push(this.#flush(path, file, onDisk));
    await new Promise((resume) => setTimeout(resume)); // the flush begins, and signals come in
    return result;
  }

  /**
   * Says that the file which is being written has got `bytes` more. A large one is flushed in parts
   * meanwhile, so that its end has little to wait for.
   */
  advance(bytes: number): void {
    this.#unflushed += bytes;
    // Each part keeps a handle open until the whole file is written: hence larger ones, in time
    if (this.#unflushed < Math.max(PART_BYTES, this.#flushing / 16)) return;
    this.#flushing += this.#unflushed;
    this.#unflushed = 0;
    this.#flushes.push(this.#flush(this.#path, Deno.openSync(this.#path), () => {}));
  }

  /** Waits until all files are on the disk. @throws {Error} If one of them cannot be */
  async flush(): Promise<void> {
    await Promise.all(this.#flushes);
    if (this.#errors.length) throw this.#errors[0];
  }

  async #flush(path: string, file: Deno.FsFile, onDisk: () => void): Promise<void> {
    try {
      await file.sync();
      onDisk();
    } catch (error) {
      this.#errors.push(nameFile(path, error));
    } finally {
      file.close();
    }
  }
}
