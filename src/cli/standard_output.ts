/** Results of a command on stdout. @module */
import { nameFile } from "../formats/file_bytes.ts";

const ENCODER = new TextEncoder();

/**
 * Writes a text to stdout.
 *
 * @throws {Deno.errors.BrokenPipe} If its reader is gone
 * @throws {Error} Naming stdout, if the system refuses for another reason
 */
export function writeOut(text: string): void {
  try {
    for (let bytes = ENCODER.encode(text); bytes.length > 0;) {
      bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
    }
  } catch (error) {
    throw error instanceof Deno.errors.BrokenPipe ? error : nameFile("stdout", error);
  }
}
