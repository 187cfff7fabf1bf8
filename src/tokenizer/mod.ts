/** Text to token ids and back. @module */
export { loadTokenizer } from "./load.ts";
export type { DecodeOptions, DecodeStream, EncodeOptions, Tokenizer } from "./tokenizer.ts";
