/** Draws schedules as grids of text: one row per stage, one column per unit of time. @module */
import type { Pass } from "./simulate.ts";

/** A place to point at. */
export interface Fault {
  /** The row. */
  readonly stage: number;
  /** The time it points at; default: the end of the row. */
  readonly time?: number;
  /** What is said beside the arrow. */
  readonly text: string;
}

const LETTER = { forward: "F", backward: "B", weightGrad: "W" } as const;

/**
 * Draws passes in time. A pass is its letter and micro-batch ("F3"), repeated marks ("--") fill
 * the rest of its time, dots are idle.
 *
 * @param passes Of each stage, with integer times
 * @param faults Each gets a line with an arrow below its stage
 * @returns Lines, with a newline at the end of each
 */
export function drawGrid(
  passes: readonly (readonly Pass[])[],
  faults: readonly Fault[] = [],
): string {
  const micros = passes.flat().map((pass) => pass.micro);
  const width = String(Math.max(0, ...micros)).length + 2;
  const label = (stage: number) => `stage ${String(stage).padStart(String(passes.length).length)} `;
  let text = "";
  passes.forEach((row, stage) => {
    const cells: string[] = [];
    for (const { op, micro, begin, end } of row) {
      while (cells.length < begin) cells.push(".");
      if (end > begin) cells.push(`${LETTER[op]}${micro}`);
      while (cells.length < end) cells.push("-");
    }
    text += `${label(stage)}${cells.map((c) => c.padEnd(width)).join("")}`.trimEnd() + "\n";
    for (const fault of faults.filter((f) => f.stage === stage)) {
      const column = fault.time ?? cells.length;
      text += " ".repeat(label(stage).length + column * width) + `^ ${fault.text}\n`;
    }
  });
  return text;
}
