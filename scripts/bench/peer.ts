/**
 * The same work in Python, by the libraries that llmpipe is compared with: `--peer PYTHON`, a Python
 * that has torch, transformers and tokenizers. A ratio of two that ran one after the other on the same
 * machine says more than the figure of either.
 *
 * @module
 */
import { fromFileUrl } from "@std/path";

/** Runs `peers/SCRIPT.py`. @returns The figures that it prints as JSON */
export function runPeer<Figures>(python: string, script: string, args: string[]): Figures {
  const path = fromFileUrl(new URL(`peers/${script}.py`, import.meta.url));
  const { success, stdout } = new Deno.Command(python, { args: [path, ...args], stderr: "inherit" })
    .outputSync();
  if (!success) throw new Error(`${python} ${path} failed: it must have the libraries it imports`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** How many times as fast, for a table. */
export function times(ours: number, peers: number): string {
  return `${(ours / peers).toFixed(2)}x`;
}
