/** A device: the native ops and its memory, or a dry one that only counts. @module */
import type { Kernels } from "../../ffi/kernels.ts";
import { dryKernels } from "../../ffi/kernels.ts";
import type { Backend } from "../../ffi/library.ts";
import { type Context, MEASURE, openContext, PRODUCTS } from "../../ffi/context.ts";
import { NOWHERE, offset } from "../../ffi/memory.ts";
import { type Region, UNBOUNDED } from "./arena.ts";
import type { DType } from "./dtype.ts";
import { BYTES_PER_ELEMENT } from "./dtype.ts";
import { Tensor } from "./tensor.ts";

/** Bytes that are moved at once between the device and a file. */
const CHUNK_BYTES = 8 << 20;

/** Which device to open. */
export interface DeviceOptions {
  /** Which library. */
  backend?: Backend;
  /** Which device of the backend. */
  index?: number;
  /** Worker threads of CPU kernels, 0 for all cores. */
  threads?: number;
  /** Algorithm of attention; default flash. */
  attention?: AttentionAlgorithm;
  /** How f32 matrices are multiplied; default exact. */
  f32Products?: F32Products;
  /** Wraps the ops, to measure them. */
  observe?: (kernels: Kernels) => Kernels;
}

/** How attention is computed: in tiles, or one query at a time, which is slow and obviously right. */
export type AttentionAlgorithm = "flash" | "reference";

/** Products of f32 matrices: as they are, or of operands rounded to 10 bits, for tensor cores. */
export type F32Products = "exact" | "tf32";

/** A device that runs ops. The dry one accepts every op and does nothing; it plans memory. */
export class Device implements Disposable {
  /** The native ops. */
  readonly kernels: Kernels;
  /** The native context; undefined on the dry device. */
  readonly context: Context | undefined;
  /** Algorithm of attention. */
  readonly attention: AttentionAlgorithm;
  #countedBytes = 0; // on the dry device
  #chunk: Uint8Array<ArrayBuffer> | undefined; // one for all: a checkpoint has many tensors

  private constructor(kernels: Kernels, context?: Context, attention?: AttentionAlgorithm) {
    this.kernels = kernels;
    this.context = context;
    this.attention = attention ?? "flash";
  }

  /**
   * Opens a device of this machine.
   *
   * @throws {NativeError} If the library or the device cannot be had
   */
  static open(options: DeviceOptions = {}): Device {
    const { backend = "cpu", index = 0, threads = 0, observe = (kernels) => kernels } = options;
    const { f32Products = "exact" } = options;
    const context = openContext({ backend, device: index, threads });
    if (f32Products !== "exact") context.selectProducts(PRODUCTS[f32Products]);
    return new Device(observe(context), context, options.attention);
  }

  /** The device that only counts what is allocated. */
  static dry(): Device {
    return new Device(dryKernels());
  }

  /**
   * A device that only counts, too, and asks a backend which workspace its ops borrow.
   *
   * @throws {NativeError} If the library cannot be had
   */
  static measuring(options: Pick<DeviceOptions, "backend" | "threads" | "attention">): Device {
    return Device.open({ ...options, index: MEASURE });
  }

  /** A region as large as is asked of it, to find out how much that is, on a device that counts. */
  unbounded(): Region {
    return this.context ? { ptr: NOWHERE, bytes: Infinity } : UNBOUNDED;
  }

  /** True for the device that only counts. */
  get isDry(): boolean {
    return this.context === undefined;
  }

  /** Allocates `bytes`, which live until the device is closed. */
  region(bytes: number): Region {
    this.#countedBytes += bytes;
    return { ptr: this.context?.alloc(bytes) ?? null, bytes };
  }

  /** Frees a region. */
  free(region: Region): void {
    this.#countedBytes -= region.bytes;
    this.context?.free(region.ptr);
  }

  /** Allocates one tensor, which lives until the device is closed; contents undefined. */
  tensor(shape: readonly number[], dtype: DType): Tensor {
    const bytes = shape.reduce((a, b) => a * b, 1) * BYTES_PER_ELEMENT[dtype];
    return new Tensor(this.region(bytes).ptr, shape, dtype);
  }

  /** Allocates one tensor of zeros, which lives until the device is closed. */
  zeros(shape: readonly number[], dtype: DType): Tensor {
    const tensor = this.tensor(shape, dtype);
    this.zero(tensor);
    return tensor;
  }

  /** Writes host values, all of the tensor's bytes, to device memory. */
  upload(tensor: Tensor, values: ArrayBufferView): void {
    if (values.byteLength !== tensor.bytes) {
      throw new TypeError(
        `Cannot upload as [${tensor.shape}] ${tensor.dtype} needs ${tensor.bytes} bytes: ` +
          `current value has ${values.byteLength}`,
      );
    }
    this.context?.upload(tensor.ptr, values as ArrayBufferView<ArrayBuffer>);
  }

  /** Reads a tensor as f32 numbers, whatever its storage type. */
  downloadF32(tensor: Tensor): Float32Array<ArrayBuffer> {
    const values = new Float32Array(tensor.size);
    if (!this.context) return values;
    if (tensor.dtype === "f32") {
      this.context.download(values, tensor.ptr);
    } else {
      const wide = this.tensor(tensor.shape, "f32");
      this.kernels.cast(wide.ptr, tensor.ptr, tensor.size, wide.code, tensor.code);
      this.context.download(values, wide.ptr);
      this.context.free(wide.ptr);
    }
    return values;
  }

  /** Reads the f64 numbers of a tensor. */
  downloadF64(tensor: Tensor): Float64Array<ArrayBuffer> {
    const values = new Float64Array(tensor.size);
    this.context?.download(values, tensor.ptr);
    return values;
  }

  /** Reads the i32 numbers of a tensor. */
  downloadI32(tensor: Tensor): Int32Array<ArrayBuffer> {
    const values = new Int32Array(tensor.size);
    this.context?.download(values, tensor.ptr);
    return values;
  }

  /** Reads the bytes of a tensor in pieces of at most 8 MiB, each valid until the next is taken. */
  *chunks(tensor: Tensor): Generator<Uint8Array> {
    const buffer = this.#chunk ??= new Uint8Array(CHUNK_BYTES);
    for (let at = 0; at < tensor.bytes; at += CHUNK_BYTES) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, tensor.bytes - at));
      this.context?.download(chunk, offset(tensor.ptr, at));
      yield chunk;
    }
  }

  /** Copies `from` to `to`, of equal size and dtype. */
  copy(to: Tensor, from: Tensor): void {
    this.kernels.copy(to.ptr, from.ptr, from.bytes);
  }

  /** Sets all bytes of a tensor to 0. */
  zero(tensor: Tensor): void {
    this.kernels.zero(tensor.ptr, tensor.bytes);
  }

  /** Bytes asked for through this class and not freed; on the dry device the plan. */
  get countedBytes(): number {
    return this.#countedBytes;
  }

  /** Bytes that the backend holds now beside what was allocated: workspace of its ops. */
  get scratchBytes(): number {
    return this.context ? this.context.memory().nowBytes - this.#countedBytes : 0;
  }

  /** Most bytes the backend ever held. */
  get peakBytes(): number {
    return this.context?.memory().peakBytes ?? 0;
  }

  /** Frees everything the device still holds. */
  [Symbol.dispose](): void {
    this.context?.[Symbol.dispose]();
  }
}
