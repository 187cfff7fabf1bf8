/** How the tensor names of a model family are written down. @module */

/** What of config.json decides which tensors there are. */
export interface ConfigKeys {
  /** The number of `config[key]`, an integer of at least 1. */
  count(key: string): number;
  /** Whether `config[key]` is true. */
  isSet(key: string): boolean;
}

/**
 * Tensor names of a family: as its Hugging Face files have them, and inside the files of the
 * pipeline layout. Pure tables; what follows from them is in `layer_names.ts`.
 */
export interface FamilyNames {
  /** Keys of config.json that may hold the number of blocks; the first that is there counts. */
  readonly blockCount: readonly string[];
  /** Layer 0: name inside the layer file, and Hugging Face name. */
  readonly embedding: Readonly<Record<string, string>>;
  /** Layers 1 to L. */
  readonly block: BlockNames;
  /** Layer L + 1: name inside the layer file, and Hugging Face name. */
  readonly head: Readonly<Record<string, string>>;
  /** Hugging Face name of the head's matrix, which may be tied to the embedding's. */
  readonly headMatrix: string;
  /** Whether head and embedding are one matrix when config.json does not tell. */
  readonly tiedByDefault: boolean;
  /** Start that Hugging Face names may lack. */
  readonly optionalPrefix?: string;
}

/** Names in a stack [E, R, C]: of each of E, those whose rows stand one after another in its R. */
export type Stack = readonly (readonly string[])[];

/** Names of one block: the same inside the layer file and after `prefix` in Hugging Face files. */
export interface BlockNames {
  /** Start of the Hugging Face names; `{i}` stands for the block, from 0. */
  readonly prefix: string;
  /** Names that every block of a model has. */
  readonly names: (config: ConfigKeys) => readonly string[];
  /** Other names that Hugging Face files may have, each with the name above that it means. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Tensors of Hugging Face files that hold several of the above. */
  readonly stacks?: (config: ConfigKeys) => Readonly<Record<string, Stack>>;
  /** Tensors that every layer file may hold and a Hugging Face file may hold once. */
  readonly shared?: Readonly<Record<string, string>>;
}

/** Values that some files hold, of each block or of the model, although config.json gives them. */
export const COMPUTED: RegExp = /(^|\.)rotary_emb\.inv_freq$/;

/** `NAME.weight` for each name. */
export function weights(...names: string[]): string[] {
  return names.map((name) => `${name}.weight`);
}

/** `NAME.bias` for each name. */
export function biases(...names: string[]): string[] {
  return names.map((name) => `${name}.bias`);
}
