/** Small models that can read and write text. @module */
import { fromFileUrl, join } from "@std/path";

const MODELS = fromFileUrl(new URL("../fixtures/models", import.meta.url));

/**
 * A model of the fixtures with a tokenizer of letters and signs (its other tokens are numbers).
 *
 * @param options.template Its chat template, if it has one
 * @param options.tokens Number of its tokens; those of the model when left out
 */
export function withTokenizer(
  model: string,
  options: { template?: string; tokens?: number } = {},
): { dir: string } & Disposable {
  const dir = Deno.makeTempDirSync({ prefix: "llmpipe-generate-" });
  const from = join(MODELS, model, "hf");
  for (const { name } of Deno.readDirSync(from)) {
    Deno.copyFileSync(join(from, name), join(dir, name));
  }
  const config = JSON.parse(Deno.readTextFileSync(join(dir, "config.json")));
  const letters = "abcdefghijklmnopqrstuvwxyz <>[]";
  const vocab = Object.fromEntries(
    Array.from(
      { length: options.tokens ?? config.padded_vocab_size ?? config.vocab_size },
      (_, id) => [letters[id - 3] ?? `(${id})`, id],
    ),
  );
  const tokenizer = { model: { type: "BPE", vocab, merges: [] }, decoder: { type: "Fuse" } };
  Deno.writeTextFileSync(join(dir, "tokenizer.json"), JSON.stringify(tokenizer));
  const { template } = options;
  if (template !== undefined) Deno.writeTextFileSync(join(dir, "chat_template.jinja"), template);
  return { dir, [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }) };
}
