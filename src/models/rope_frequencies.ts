/** Frequencies of rotary embeddings, with the scalings of llama models. @module */
import {
  type ModelConfig,
  readChoice,
  readObject,
  readPositive,
  requireValue,
} from "./config_json.ts";

/**
 * Inverse frequencies of the rotated pairs, [R/2] f32: theta^(-2i/R), scaled as config.json says.
 *
 *   linear: f / factor
 *   llama3, wavelength w = 2 pi / f:  f / factor  where w > original / low_freq_factor
 *                                     f           where w < original / high_freq_factor
 *           between: (1 - s) f / factor + s f,  s = (original / w - low) / (high - low)
 *
 * Both spellings are read: `rope_theta` with `rope_scaling`, and `rope_parameters` of newer files.
 * As in transformers, the older one counts where both are. What either leaves out stands beside it:
 * theta as `rope_theta`, the original length as `max_position_embeddings`; that length may stand
 * beside it under its own name, too, and counts before the one inside.
 *
 * @param R Rotated elements of a head
 * @throws {ConfigError} On a scaling other than none, linear or llama3
 */
export function ropeFrequencies(config: ModelConfig, R: number): Float32Array {
  const parameters = readObject(config, "rope_parameters") ?? {};
  const older = readObject(config, "rope_scaling") ?? {};
  const scaling = Object.keys(older).length > 0 ? older : parameters;
  const theta = readPositive(scaling, "rope_theta", readPositive(config, "rope_theta", 10000));
  requireValue(scaling, "partial_rotary_factor", 1, 1);
  const typeKey = scaling.rope_type === undefined ? "type" : "rope_type";
  const type = readChoice(scaling, typeKey, ["default", "linear", "llama3"], "default");
  const plain = Float32Array.from({ length: R / 2 }, (_, i) => 1 / theta ** (2 * i / R));
  if (type === "default") return plain;
  const factor = readPositive(scaling, "factor");
  if (type === "linear") return plain.map((f) => f / factor);
  const low = readPositive(scaling, "low_freq_factor");
  const high = readPositive(scaling, "high_freq_factor");
  const originalKey = "original_max_position_embeddings";
  const original = readPositive(
    (config[originalKey] ?? undefined) === undefined ? scaling : config,
    originalKey,
    config.max_position_embeddings as number | undefined, // an integer: the family has checked it
  );
  return plain.map((f) => {
    const wavelength = 2 * Math.PI / f;
    if (wavelength > original / low) return f / factor;
    if (wavelength < original / high) return f;
    const s = (original / wavelength - low) / (high - low);
    return (1 - s) * f / factor + s * f;
  });
}
