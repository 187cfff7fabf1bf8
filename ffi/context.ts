/** A device of the native library: its memory, streams and ops. @module */
import { bindKernels } from "./bind_kernels.ts";
import { Comm } from "./comm.ts";
import type { Kernels, Pointer } from "./kernels.ts";
import { type Backend, type Library, openLibrary } from "./library.ts";
import { NativeError } from "./native_error.ts";

/** A point in a stream. */
export type StreamEvent = Deno.PointerObject;

/** Streams by name, as csrc/llmpipe.h numbers them. */
export const STREAMS: Readonly<Record<"compute" | "communication" | "copies", number>> = {
  compute: 0,
  communication: 1,
  copies: 2,
};

/** Arithmetic of products of f32 matrices by name, as csrc/llmpipe.h numbers it. */
export const PRODUCTS: Readonly<Record<"exact" | "tf32", number>> = { exact: 0, tf32: 1 };

/** An open device: every op, and what only a real device has. Closed by `using` or `dispose`. */
export interface Context extends Kernels, Disposable {
  /** Which library this is. */
  readonly backend: Backend;
  /** Allocates device memory, 64-byte aligned; on CPU all zero. @throws {NativeError} ENOMEM */
  alloc(bytes: number): Deno.PointerObject;
  /** Frees what alloc() gave; null is nothing. */
  free(ptr: Pointer): void;
  /** Bytes held now and the most there ever were, workspace of ops included. */
  memory(): { nowBytes: number; peakBytes: number };
  /** Copies all of `values` to device memory; it must live until the stream is synchronized. */
  upload(ptr: Pointer, values: ArrayBufferView<ArrayBuffer>): void;
  /** Fills all of `values` from device memory, and waits for that. */
  download(values: ArrayBufferView<ArrayBuffer>, ptr: Pointer): void;
  /** Later ops go to this stream, one of STREAMS. */
  selectStream(stream: number): void;
  /** How f32 matrices are multiplied from now on, one of PRODUCTS. @throws {NativeError} EUNSUPPORTED */
  selectProducts(arithmetic: number): void;
  /** Returns when everything on every stream is done. */
  synchronize(): void;
  /** A mark that streams can wait for; ended by destroyEvent. */
  createEvent(): StreamEvent;
  /** Ends an event. */
  destroyEvent(event: StreamEvent): void;
  /** Marks the current stream. */
  recordEvent(event: StreamEvent): void;
  /** Makes the current stream wait for the mark. */
  waitEvent(event: StreamEvent): void;
  /** Seconds between two recorded events; waits for both. */
  secondsBetween(begin: StreamEvent, end: StreamEvent): number;
  /**
   * Makes a communicator, not yet connected.
   *
   * @param options.host Local address to listen on
   * @param options.timeoutMs For the connection and every wait
   */
  createComm(options: { rank: number; size: number; host: string; timeoutMs: number }): Comm;
}

/** In place of the number of a device: ops only count the workspace they would borrow. */
export const MEASURE: number = -1;

/**
 * Opens a device.
 *
 * @param options.backend Which library
 * @param options.device Number of the device, 0 on CPU; or MEASURE
 * @param options.threads Worker threads of CPU ops, 0 for all usable cores
 * @throws {NativeError} If the library cannot be opened or there is no such device
 */
export function openContext(
  options: { backend?: Backend; device?: number; threads?: number } = {},
): Context {
  const { backend = "cpu", device = 0, threads = 0 } = options;
  const library = openLibrary(backend);
  const lp = library.symbols;
  const out = new BigUint64Array(2);
  const created = lp.lp_ctx_create(device, threads, out);
  if (created !== 0) throw new NativeError(created, lastError(library, null));
  const ctx = Deno.UnsafePointer.create(out[0])!;
  const pointer = (): Deno.PointerObject => Deno.UnsafePointer.create(out[0])!;
  const unwrap = (status: number): void => {
    if (status !== 0) throw new NativeError(status, lastError(library, ctx));
  };
  let isOpen = true;
  return {
    ...bindKernels(library, ctx, unwrap),
    backend,
    alloc: (bytes) => {
      unwrap(lp.lp_alloc(ctx, BigInt(bytes), out));
      return pointer();
    },
    free: (ptr) => unwrap(lp.lp_free(ctx, ptr)),
    memory: () => {
      unwrap(lp.lp_memory(ctx, out, out.subarray(1)));
      return { nowBytes: Number(out[0]), peakBytes: Number(out[1]) };
    },
    upload: (ptr, values) => unwrap(lp.lp_upload(ctx, ptr, values, BigInt(values.byteLength))),
    download: (values, ptr) => {
      unwrap(lp.lp_download(ctx, values, ptr, BigInt(values.byteLength)));
      unwrap(lp.lp_synchronize(ctx));
    },
    selectStream: (stream) => unwrap(lp.lp_stream_select(ctx, stream)),
    selectProducts: (arithmetic) => unwrap(lp.lp_products_select(ctx, arithmetic)),
    synchronize: () => unwrap(lp.lp_synchronize(ctx)),
    createEvent: () => {
      unwrap(lp.lp_event_create(ctx, out));
      return pointer();
    },
    destroyEvent: (event) => unwrap(lp.lp_event_destroy(ctx, event)),
    recordEvent: (event) => unwrap(lp.lp_event_record(ctx, event)),
    waitEvent: (event) => unwrap(lp.lp_event_wait(ctx, event)),
    secondsBetween: (begin, end) => {
      const seconds = new Float64Array(1);
      unwrap(lp.lp_event_seconds(ctx, begin, end, seconds));
      return seconds[0];
    },
    createComm: ({ rank, size, host, timeoutMs }) => {
      const text = new TextEncoder().encode(`${host}\0`);
      unwrap(lp.lp_comm_create(ctx, rank, size, text, timeoutMs, out));
      return new Comm(library, pointer(), unwrap);
    },
    [Symbol.dispose]: () => {
      if (isOpen) lp.lp_ctx_destroy(ctx);
      isOpen = false;
    },
  };
}

/** What a backend says of its libraries and devices, for `llmpipe doctor`. */
export interface BackendDescription {
  /** "cpu" or "cuda". */
  backend: string;
  /** Instruction set that the library was chosen for. */
  isa?: string;
  /** Versions of the libraries it uses. */
  libraries: Record<string, string>;
  /** Devices that can be used. */
  devices: {
    name: string;
    memory_bytes: number;
    cores?: number;
    dtypes: string[];
    /** Names of PRODUCTS. */
    products: string[];
  }[];
  /** Why there are no devices. */
  reason?: string;
}

/**
 * Asks a backend what it is and which devices it has.
 *
 * @throws {NativeError} If its library cannot be opened
 */
export function describeBackend(backend: Backend): BackendDescription {
  const library = openLibrary(backend);
  const text = new Uint8Array(65536);
  const status = library.symbols.lp_describe(text, BigInt(text.length));
  if (status !== 0) throw new NativeError(status, lastError(library, null));
  return JSON.parse(decode(text));
}

function lastError(library: Library, ctx: Deno.PointerValue): string {
  const text = new Uint8Array(4096);
  library.symbols.lp_last_error(ctx, text, BigInt(text.length));
  return decode(text);
}

function decode(text: Uint8Array): string {
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
}
