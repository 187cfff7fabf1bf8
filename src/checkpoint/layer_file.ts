/** Names of the files of the pipeline layout. @module */

/** `layer_07-model_states.safetensors`. */
export function layerFileName(layer: number): string {
  return `layer_${String(layer).padStart(2, "0")}-model_states.safetensors`;
}
