/** Which of several failures was the first cause, and how it is told. @module */
import type { ErrorMessage } from "./messages.ts";

/** How a rank ended, or could not be started. */
export interface RankEnd {
  /** Number of the rank. */
  rank: number;
  /** Exit status; undefined when it could not be started. */
  code?: number;
  /** The signal that ended it. */
  signal?: string | null;
  /** What it said of its error. */
  error?: ErrorMessage | undefined;
  /** Its last lines on stderr. */
  lastLines?: readonly string[];
}

/**
 * The failure that the others follow from. A rank that lost a peer is a consequence, a time-out may
 * be one; otherwise the first to be noticed.
 *
 * @param failures In the order in which they were noticed, at least one
 */
export function firstCause(failures: readonly RankEnd[]): RankEnd {
  return failures.toSorted((a, b) => distance(a) - distance(b))[0]; // stable
}

/** One line: which rank, where, and what. */
export function describeConsequence(end: RankEnd): string {
  return `${place(end)} ended as well: ${reason(end).split("\n")[0]}`;
}

/** All that is known of a failure; the message comes last, where eyes look. */
export function describeCause(end: RankEnd): string {
  const lines: string[] = [];
  if (!end.error && end.lastLines?.length) {
    lines.push(
      `Last lines of rank ${end.rank} on stderr:`,
      ...end.lastLines.map((l) => `    ${l}`),
    );
  }
  if (end.error?.stack && end.error.kind === "failed") lines.push(frames(end.error.stack));
  lines.push(`${place(end)} failed: ${reason(end)}`);
  return lines.filter((line) => line !== "").join("\n");
}

/** The exit status of a run that ended with this failure. */
export function statusOf(end: RankEnd): number {
  return end.error?.kind === "config" || (!end.error && end.code === 2) ? 2 : 1;
}

/** 0: the cause is in this rank. */
function distance({ error, signal }: RankEnd): number {
  if (signal || !error) return 0;
  return error.kind === "lost" ? 2 : error.kind === "timeout" ? 1 : 0;
}

function place({ rank, error }: RankEnd): string {
  const where: string[] = [];
  if (error?.stage !== undefined) where.push(`stage ${error.stage}`);
  if (error?.step !== undefined) where.push(`step ${error.step}`);
  return `Rank ${rank}${where.length > 0 ? ` (${where.join(", ")})` : ""}`;
}

function reason({ error, signal, code }: RankEnd): string {
  if (error) return error.message;
  if (signal === "SIGKILL") {
    return "it was killed by SIGKILL (which the kernel sends when memory runs out)";
  }
  if (signal) return `it was ended by ${signal}`;
  if (code === undefined) return "it could not be started";
  return `it exited with status ${code} and gave no reason`;
}

function frames(stack: string): string {
  return stack.split("\n").filter((line) => line.startsWith("    at ")).join("\n");
}
