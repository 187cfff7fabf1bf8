/** Opens a file of tensors by the format that its name tells. @module */
import { FormatError } from "./format_error.ts";
import { isLfsPointer, POINTER_REASON } from "./lfs_pointer.ts";
import { openSafetensors } from "./safetensors.ts";
import type { TensorFile } from "./tensor_file.ts";
import { openTorchFile } from "./torch_file.ts";

/**
 * Opens `.safetensors` files as such, and all others as what torch.save writes.
 *
 * @throws {FormatError} If the file is not what its format demands
 */
export function openTensorFile(path: string): TensorFile {
  try {
    return path.endsWith(".safetensors") ? openSafetensors(path) : openTorchFile(path);
  } catch (cause) {
    if (!(cause instanceof FormatError) || !isLfsPointer(path)) throw cause;
    throw new FormatError(path, POINTER_REASON, { cause });
  }
}
