/** The life of a rank: joins the run, does its work, tells why it failed. @module */
import { NativeError } from "../../ffi/native_error.ts";
import { endWithParent } from "../../ffi/process.ts";
import { ConfigError } from "../config/config_error.ts";
import { chainOf, isProgramFault, messagesOf } from "../launch/error_text.ts";
import type { ErrorMessage, FailureKind } from "../launch/messages.ts";
import { type Placement, placementFromEnv } from "../launch/placement.ts";
import { RendezvousClient, StoppedError } from "./rendezvous_client.ts";

/**
 * Runs the work of a rank that a supervisor has started. The process is bound to the supervisor: it
 * ends when that ends. What the work throws is reported to the supervisor, who prints it.
 *
 * @param work Sets `run.place` as it goes, for the report
 * @returns Exit status: 0, or 1 when the work failed
 */
export async function runRank(
  work: (run: RendezvousClient) => Promise<void>,
  placement: Placement = placementFromEnv(),
): Promise<number> {
  endWithParent(placement.supervisorPid);
  using run = await RendezvousClient.connect(placement);
  try {
    await run.say({ type: "ready" });
    await work(run);
    return 0;
  } catch (error) {
    await reportFailure(run, error);
    return 1;
  }
}

/**
 * Tells the supervisor of an error, for which the first report counts. What holds on to a device or
 * to other ranks is closed afterwards: that may take long.
 */
export async function reportFailure(run: RendezvousClient, error: unknown): Promise<void> {
  const failure = describeFailure(error);
  // Status 2 promises that nothing was started.
  if (failure.kind === "config" && run.place.step !== undefined) failure.kind = "failed";
  await run.say({ ...failure, ...run.place });
}

/** What the supervisor is told of an error. */
export function describeFailure(error: unknown): ErrorMessage {
  const message: ErrorMessage = {
    type: "error",
    kind: chainOf(error).map(kindOf).find((kind) => kind !== "failed") ?? "failed",
    message: messagesOf(error).join("\n  because: "),
  };
  const isRefused = error instanceof NativeError && error.status === "EINVAL";
  if (error instanceof Error && error.stack && (isRefused || isProgramFault(error))) {
    message.stack = error.stack;
  }
  return message;
}

function kindOf(error: unknown): FailureKind {
  if (error instanceof ConfigError) return "config";
  if (error instanceof StoppedError) return "lost";
  if (error instanceof NativeError && error.status === "ELOST") return "lost";
  if (error instanceof NativeError && error.status === "ETIMEOUT") return "timeout";
  return "failed";
}
