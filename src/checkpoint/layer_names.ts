/** Where each tensor of a model stands in both layouts, as its config.json and family say. @module */
import { ConfigError } from "../config/config_error.ts";
import { COMPUTED, type Stack } from "./names/family_names.ts";
import { FAMILY_NAMES } from "./names/registry.ts";

/** Far more layers or experts than any model has: a larger number is a mistake. */
const COUNT_LIMIT = 10_000;

/** One tensor of one layer. */
export interface LayerTensor {
  /** 0 is the embedding, 1 to L the blocks, L + 1 the head. */
  readonly layer: number;
  /** Name inside the layer file. */
  readonly name: string;
  /** Name in Hugging Face files; that of the embedding for a tied head. */
  readonly hfName: string;
  /** Whether a model may lack it. */
  readonly optional: boolean;
}

/** The names of one model in both layouts. */
export class LayerNames {
  /** `model_type` of config.json. */
  readonly family: string;
  /** Whether the head's matrix is that of the embedding. */
  readonly tied: boolean;
  /** Tensors of each layer by their names inside the layer file. */
  readonly layers: readonly ReadonlyMap<string, LayerTensor>[];
  readonly #byHfName = new Map<string, LayerTensor>();
  readonly #aliases = new Map<string, string>();
  readonly #stacks = new Map<string, Stack>();
  readonly #unusedMatrix: string | undefined;
  readonly #optionalPrefix: string;

  /**
   * Lays out the names.
   *
   * @param config The parsed config.json
   * @param path Where it was read, for messages
   * @throws {ConfigError} On an unknown family, or a number of layers or experts that is none
   */
  constructor(config: Readonly<Record<string, unknown>>, path: string) {
    const type = config.model_type;
    if (typeof type !== "string" || !Object.hasOwn(FAMILY_NAMES, type)) {
      throw new ConfigError(
        `Cannot read ${path} as model_type must be one of ${
          Object.keys(FAMILY_NAMES).join(", ")
        }: ` +
          (type === undefined ? "it is missing" : `current value is ${JSON.stringify(type)}`),
      );
    }
    const family = FAMILY_NAMES[type];
    const { embedding, block, head } = family;
    const count = (key: string) => readCount(config, key, path);
    const keys = { count, isSet: (key: string) => config[key] === true };
    const L = count(family.blockCount.find((key) => key in config) ?? family.blockCount[0]);
    const tie = config.tie_word_embeddings;
    this.family = type;
    this.tied = typeof tie === "boolean" ? tie : family.tiedByDefault;
    this.#optionalPrefix = family.optionalPrefix ?? "";

    const table = (layer: number, names: Readonly<Record<string, string>>, optional: boolean) =>
      Object.entries(names).map(([name, hfName]) => ({ layer, name, hfName, optional }));
    const blockNames = block.names(keys);
    const stacks = Object.entries(block.stacks?.(keys) ?? {});
    const blocks = Array.from({ length: L }, (_, i) => {
      const prefix = block.prefix.replace("{i}", String(i));
      for (const [alias, name] of Object.entries(block.aliases ?? {})) {
        this.#aliases.set(prefix + alias, prefix + name);
      }
      for (const [stack, names] of stacks) {
        this.#stacks.set(prefix + stack, names.map((rows) => rows.map((name) => prefix + name)));
      }
      return [
        ...table(i + 1, Object.fromEntries(blockNames.map((name) => [name, prefix + name])), false),
        ...table(i + 1, block.shared ?? {}, true),
      ];
    });
    const first = table(0, embedding, false);
    const last = table(L + 1, head, false).map((tensor) =>
      this.tied && tensor.hfName === family.headMatrix
        ? { ...tensor, hfName: first[0].hfName }
        : tensor
    );
    this.#unusedMatrix = this.tied ? family.headMatrix : undefined;
    const layers: LayerTensor[][] = [first, ...blocks, last];
    this.layers = layers.map((layer) => new Map(layer.map((tensor) => [tensor.name, tensor])));
    for (const tensor of layers.flat()) {
      // The first place counts: the embedding of tied matrices, the first block of shared tensors.
      if (!this.#byHfName.has(tensor.hfName)) this.#byHfName.set(tensor.hfName, tensor);
    }
  }

  /** The Hugging Face name of a tensor of a layer, or undefined if the family has none such. */
  hfName(layer: number, name: string): string | undefined {
    return this.layers[layer]?.get(name)?.hfName;
  }

  /** Where the tensor of a Hugging Face name stands; the first place if it has two. */
  layerName(hfName: string): LayerTensor | undefined {
    return this.#byHfName.get(hfName);
  }

  /** All Hugging Face names, in the order of the layers. */
  hfNames(): Iterable<string> {
    return this.#byHfName.keys();
  }

  /** The names that a tensor of a Hugging Face file holds, if it holds several. */
  stack(found: string): Stack | undefined {
    return this.#stacks.get(found);
  }

  /**
   * What a name that was found in a Hugging Face file means: with the prefix that some files leave
   * out, and in the older form.
   */
  canonical(found: string): string {
    const alias = this.#aliases.get(found);
    if (alias !== undefined) return alias;
    const prefixed = this.#optionalPrefix + found;
    return !this.#byHfName.has(found) && this.#byHfName.has(prefixed) ? prefixed : found;
  }

  /** Whether files may hold this tensor although nothing reads it. */
  isIgnored(name: string): boolean {
    return COMPUTED.test(name) || name === this.#unusedMatrix;
  }
}

function readCount(config: Readonly<Record<string, unknown>>, key: string, path: string): number {
  const value = config[key];
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= COUNT_LIMIT) {
    return value;
  }
  throw new ConfigError(
    `Cannot read ${path} as ${key} must be an integer from 1 to ${COUNT_LIMIT}: ` +
      (value === undefined ? "it is missing" : `current value is ${JSON.stringify(value)}`),
  );
}
