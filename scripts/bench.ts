/**
 * Everything that is claimed about speed, measured on this machine: training beside the GEMM peak,
 * generation, tokenisation. Conversion needs 10 GB of disk: deno run -A scripts/bench/convert.ts
 * `deno task bench --peer PYTHON` measures torch, transformers and tokenizers beside it.
 *
 * @module
 */
for (const name of ["train", "generate", "tokenizer"]) {
  console.log(`\n== ${name}`);
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", `scripts/bench/${name}.ts`, ...Deno.args],
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (code !== 0) Deno.exit(code);
}
