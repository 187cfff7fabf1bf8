/** The memory of each pipeline stage, for a person. @module */
import { formatBytes } from "./format_bytes.ts";

/** Bytes of one rank of a stage. */
export interface MemoryRow {
  /** Which stage. */
  stage: number;
  /** Weights. */
  weights: number;
  /** Gradients. */
  gradients: number;
  /** Optimizer state: moments and master weights. */
  optimizer: number;
  /** Activations of all micro-batches in flight. */
  activations: number;
  /** Temporaries, and what the ops of the backend borrow while they run. */
  workspace: number;
}

const PARTS = ["weights", "gradients", "optimizer", "activations", "workspace"] as const;

/** Bytes of a row. */
export function totalBytes(row: MemoryRow): number {
  return PARTS.reduce((sum, part) => sum + row[part], 0);
}

/**
 * A table of text: one line per stage, the last column their sum.
 *
 * @param rows In the order of the stages
 * @param measured Most bytes really allocated by each stage: adds a column
 */
export function memoryTable(rows: readonly MemoryRow[], measured?: readonly number[]): string {
  const header = ["stage", ...PARTS, "total", ...(measured ? ["measured"] : [])];
  const body = rows.map((row, i) => [
    `${row.stage}`,
    ...PARTS.map((part) => formatBytes(row[part])),
    formatBytes(totalBytes(row)),
    ...(measured ? [formatBytes(measured[i])] : []),
  ]);
  const widths = header.map((name, column) =>
    Math.max(name.length, ...body.map((cells) => cells[column].length))
  );
  const line = (cells: string[]) => cells.map((cell, i) => cell.padStart(widths[i])).join("  ");
  return [header, ...body].map(line).join("\n");
}
