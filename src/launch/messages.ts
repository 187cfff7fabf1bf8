/** What a rank tells the supervisor. @module */

/** Why a rank failed, as far as it knows. */
export type FailureKind =
  /** Itself: the first cause is here. */
  | "failed"
  /** What the user configured; the exit status is 2. */
  | "config"
  /** A peer did not answer in time: it may be the cause, or wait for another. */
  | "timeout"
  /** A peer is gone: the cause is elsewhere. */
  | "lost";

/** A rank failed and will end. */
export interface ErrorMessage {
  /** Tells the messages apart. */
  type: "error";
  /** Messages of the error and its causes. */
  message: string;
  /** Where in the program, if known. */
  stack?: string;
  /** Whether the cause is here. */
  kind: FailureKind;
  /** Pipeline stage of the rank. */
  stage?: number;
  /** Optimizer step under way. */
  step?: number;
}

/** A message of a rank. */
export type RankMessage =
  | ErrorMessage
  /** The rank has joined and can start. */
  | { type: "ready" }
  /** A phase of the start, or of the run, begins. */
  | { type: "phase"; name: string }
  /** Figures of an optimizer step. */
  | { type: "metrics"; values: Record<string, unknown> }
  /** A line for the log. */
  | { type: "log"; level: "debug" | "info" | "warn" | "error"; text: string };

/** Checks what came over the network; undefined if it is no message. */
export function parseMessage(value: unknown): RankMessage | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const m = value as Record<string, unknown>;
  const isText = (...keys: string[]) => keys.every((key) => typeof m[key] === "string");
  switch (m.type) {
    case "ready":
      return m as RankMessage;
    case "phase":
      return isText("name") ? m as RankMessage : undefined;
    case "log":
      return isText("level", "text") ? m as RankMessage : undefined;
    case "metrics":
      return typeof m.values === "object" && m.values !== null ? m as RankMessage : undefined;
    case "error":
      return isText("message", "kind") ? m as RankMessage : undefined;
    default:
      return undefined;
  }
}
