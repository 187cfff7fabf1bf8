/** What is told of an op that failed: on which tensors, and where in the program. @module */
import type { Kernels } from "../../ffi/kernels.ts";
import { addressOf } from "../../ffi/memory.ts";
import { NativeError } from "../../ffi/native_error.ts";
import type { Parameter } from "./parameter.ts";
import type { Tensor } from "./tensor.ts";

const GRADIENT = "the gradient of ";

/** Names of tensors by address. */
export class TensorNames {
  readonly #ranges: { begin: bigint; end: bigint; name: string }[] = [];

  /** Names the weights and gradients of parameters. */
  add(parameters: readonly Parameter[]): void {
    for (const { path, weight, grad } of parameters) {
      this.#add(path, weight);
      if (grad) this.#add(GRADIENT + path, grad);
    }
  }

  /** The names of those arguments that are addresses within named tensors, each parameter once. */
  find(args: readonly unknown[]): string[] {
    const names = args.flatMap((arg) => {
      if (typeof arg !== "object" || arg === null) return [];
      const address = addressOf(arg as Deno.PointerObject);
      return this.#ranges.filter(({ begin, end }) => begin <= address && address < end)
        .map(({ name }) => name);
    });
    return [...new Set(names)].filter((name) =>
      !(name.startsWith(GRADIENT) && names.includes(name.slice(GRADIENT.length)))
    );
  }

  #add(name: string, { ptr, bytes }: Tensor): void {
    const begin = addressOf(ptr);
    if (begin !== 0n) this.#ranges.push({ begin, end: begin + BigInt(bytes), name });
  }
}

/** The same ops, whose failures name the tensors they were given. Some 0.1 us a call. */
export function namingTensors(kernels: Kernels, names: TensorNames): Kernels {
  const ops = Object.entries(kernels).map(([name, op]: [string, unknown]) => {
    if (typeof op !== "function") return [name, op];
    const named = (...args: unknown[]) => {
      try {
        return op(...args);
      } catch (error) {
        throw placeFailure(error, names.find(args).join(", "));
      }
    };
    return [name, named];
  });
  return Object.fromEntries(ops);
}

/** The failure of a native call with its place before its message; any other error as it is. */
export function placeFailure(error: unknown, place: string): unknown {
  if (!(error instanceof NativeError) || place === "") return error;
  const placed = new NativeError(error.status, `${place}: ${error.message}`, {
    cause: error.cause,
  });
  if (error.stack !== undefined) placed.stack = error.stack; // of the call, not of this line
  return placed;
}
