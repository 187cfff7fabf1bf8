/** What can be wrong with a hub. @module */
import { ConfigError } from "../config/config_error.ts";

/** The hub has understood and says no, or may not be asked: another name, token or setting is needed. */
export class HubRefusal extends ConfigError {
  /**
   * A refusal.
   *
   * @param message What is needed
   * @param isRevision True when the model is there and the revision is not
   */
  constructor(message: string, readonly isRevision: boolean = false) {
    super(message);
  }
}

/** The hub cannot be reached, fails, or sends what is damaged; later it may do better. */
export class HubFailure extends Error {
  /** Distinguishes it from other errors in logs. */
  override readonly name = "HubFailure";
  /** How long the hub asks to wait, in milliseconds. */
  readonly afterMs: number | undefined;

  /**
   * A failure.
   *
   * @param message What happened
   * @param options `afterMs`: how long the hub asks to wait before the next request
   */
  constructor(message: string, options: ErrorOptions & { afterMs?: number | undefined } = {}) {
    super(message, options);
    this.afterMs = options.afterMs;
  }
}
