/** Weights that are stored as fewer bits than their values have. @module */
import { ConfigError } from "../config/config_error.ts";

/**
 * Refuses a model whose config.json says that its weights are quantized. Where plain weights stand
 * beside the key, transformers would quantize them when it loads them, or fail; only bitsandbytes
 * with nothing to do leaves them as they are.
 *
 * @param config The parsed config.json
 * @param path Where it was read, for messages
 * @throws {ConfigError} Naming the method
 */
export function requirePlainWeights(config: Readonly<Record<string, unknown>>, path: string): void {
  const asked = config.quantization_config ?? undefined;
  if (asked === undefined) return;
  const { quant_method: method, load_in_8bit, load_in_4bit } = asked as Record<string, unknown>;
  if (method === "bitsandbytes" && !load_in_8bit && !load_in_4bit) return;
  throw new ConfigError(
    `Cannot use ${path} as quantization_config must be absent: current quant_method is ` +
      `${JSON.stringify(method) ?? "missing"} (if the weights beside it are plain, remove the key)`,
  );
}
