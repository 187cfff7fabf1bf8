/** Failures of the native library. @module */

/** Names of the `lp_status` codes, without `LP_`; EUNKNOWN is one that this program does not know. */
export type NativeStatus =
  | "OK"
  | "EINVAL"
  | "ENOMEM"
  | "EDEVICE"
  | "EUNSUPPORTED"
  | "ETIMEOUT"
  | "ELOST"
  | "EUNKNOWN";

/** By code. */
const STATUS_NAMES: readonly NativeStatus[] = [
  "OK",
  "EINVAL",
  "ENOMEM",
  "EDEVICE",
  "EUNSUPPORTED",
  "ETIMEOUT",
  "ELOST",
];

/** A call into the native library failed, or the library could not be opened (EUNSUPPORTED). */
export class NativeError extends Error {
  /** What kind of failure. */
  readonly status: NativeStatus;

  /** Takes the status by its code or name, and the text of lp_last_error(). */
  constructor(status: number | NativeStatus, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "NativeError";
    this.status = typeof status === "number" ? STATUS_NAMES[status] ?? "EUNKNOWN" : status;
  }
}
