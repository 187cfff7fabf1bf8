/** Tensors that a Hugging Face file has stacked in one. @module */
import type { Stack } from "./names/family_names.ts";
import type { TensorPlace } from "./open_tensors.ts";

/**
 * The tensors inside a stack [E, R, C]: of each of its E, equal shares of the R rows. They stand in
 * the file one after another, so nothing is moved.
 *
 * @returns Places by name, or what is wrong with the stack
 */
export function unstack(place: TensorPlace, stack: Stack): Map<string, TensorPlace> | string {
  const { file, name, tensor: { dtype, shape, byteLength } } = place;
  const [E, R, C] = shape;
  const shares = stack[0].length;
  if (shape.length !== 3 || E !== stack.length || R % shares !== 0) {
    return `Cannot use ${name} of ${file.path} as it must hold ${shares} of ${stack.length} ` +
      `experts: its shape is [${shape.join(", ")}]`;
  }
  const bytes = byteLength / (E * shares);
  const tensor = { dtype, shape: [R / shares, C], byteLength: bytes };
  return new Map(
    stack.flat().map((hfName, i): [string, TensorPlace] => [
      hfName,
      { file, name, tensor, range: { begin: i * bytes, end: (i + 1) * bytes } },
    ]),
  );
}
