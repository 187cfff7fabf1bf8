/** The table of tensor names by family. @module */
import { baichuan } from "./baichuan.ts";
import { bloom } from "./bloom.ts";
import { chatglm } from "./chatglm.ts";
import type { FamilyNames } from "./family_names.ts";
import { llama } from "./llama.ts";
import { mixtral } from "./mixtral.ts";
import { qwen2 } from "./qwen2.ts";

/** Names by `model_type` of config.json. A new family is one file and one line here. */
export const FAMILY_NAMES: Readonly<Record<string, FamilyNames>> = {
  baichuan,
  bloom,
  chatglm,
  llama,
  mistral: llama,
  mixtral,
  qwen2,
};
