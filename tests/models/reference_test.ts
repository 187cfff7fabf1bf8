/** Logits, loss and gradients against transformers, for every model of tests/fixtures/models. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { openSafetensors, writeSafetensors } from "../../src/formats/safetensors.ts";
import { computeLogits, type LogitsOptions } from "../../src/inference/logits.ts";

const FIXTURES = new URL("../fixtures/models/", import.meta.url).pathname;
const MODELS = [
  { name: "llama", dirs: ["hf_fp32", "hf_bf16", "hf_fp16"] },
  { name: "llama_gqa", dirs: ["hf"] },
  { name: "llama_rope_linear", dirs: ["hf"] },
  { name: "llama_rope_llama3", dirs: ["hf"] },
  { name: "llama_tied", dirs: ["hf"] },
  { name: "llama_bias", dirs: ["hf"] },
  { name: "bloom", dirs: ["hf", "hf_bin", "hf_bin_legacy"] },
  { name: "bloom_h6", dirs: ["hf"] },
  { name: "bloom_post", dirs: ["hf"] },
  { name: "baichuan2", dirs: ["hf", "hf_bin"] },
  { name: "baichuan2_13b", dirs: ["hf"] },
  { name: "chatglm3", dirs: ["hf", "hf_bin"] },
  { name: "qwen2", dirs: ["hf"] },
  { name: "mistral", dirs: ["hf"] },
  { name: "mixtral", dirs: ["hf"] },
  { name: "mixtral_aux", dirs: ["hf"] },
];

interface Expected {
  losses: { right: Record<string, number>; left: Record<string, number> };
  aux_max_z_loss_weight: number;
  /** Norm of each gradient; where it is missing, expected.safetensors holds all gradients. */
  grad_norm?: Record<string, { each: Record<string, number> }>;
}

function readF32(path: string): Map<string, Float32Array> {
  using file = openSafetensors(path);
  const decode = (dtype: string, { buffer }: Uint8Array<ArrayBuffer>) => {
    if (dtype === "F16") return Float32Array.from(new Float16Array(buffer));
    if (dtype !== "BF16") return new Float32Array(buffer);
    const wide = Uint32Array.from(new Uint16Array(buffer), (half) => half << 16);
    return new Float32Array(wide.buffer);
  };
  return new Map(
    [...file.tensors].map(([name, { dtype }]) => [name, decode(dtype, file.read(name).slice())]),
  );
}

/** Writes the `side.` tensors of a reference batch under their plain names. */
function writeBatch(name: string, side: string, path: string): Int32Array {
  using file = openSafetensors(join(FIXTURES, name, "batch.safetensors"));
  const names = ["input_ids", "attention_mask", "labels"];
  writeSafetensors(
    path,
    names.map((key) => ({
      name: key,
      dtype: "I64" as const,
      shape: file.tensors.get(`${side}.${key}`)!.shape,
      chunks: () => [file.read(`${side}.${key}`)],
    })),
  );
  const mask = new BigInt64Array(file.read(`${side}.attention_mask`).slice().buffer);
  return Int32Array.from(mask, Number);
}

function maxDifference(a: Float32Array, b: Float32Array, counts: (i: number) => boolean): number {
  assertEquals(a.length, b.length);
  let worst = 0;
  a.forEach((value, i) => {
    if (counts(i)) worst = Math.max(worst, Number.isNaN(value) ? Infinity : Math.abs(value - b[i]));
  });
  return worst;
}

function compute(options: Partial<LogitsOptions> & { modelPath: string }, side: string) {
  const dir = Deno.makeTempDirSync();
  try {
    const input = join(dir, "in.safetensors");
    const output = join(dir, "out.safetensors");
    const mask = writeBatch(options.modelPath.split("/").at(-2)!, side, input);
    const loss = computeLogits({ zLoss: 0, grads: [], dtype: "f32", ...options, input, output });
    return { loss: loss!, mask, tensors: readF32(output) };
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

for (const { name, dirs } of MODELS) {
  const expected: Expected = JSON.parse(
    Deno.readTextFileSync(join(FIXTURES, name, "expected.json")),
  );
  const reference = readF32(join(FIXTURES, name, "expected.safetensors"));

  for (const dir of dirs) {
    const modelPath = join(FIXTURES, name, dir);

    for (const side of ["right", "left"] as const) {
      Deno.test(`${name}/${dir}: logits and loss equal transformers, padded on the ${side}`, () => {
        const { loss, mask, tensors } = compute({ modelPath }, side);
        const logits = tensors.get("logits")!;
        const V = logits.length / mask.length;
        const real = (i: number) => side === "right" || mask[Math.floor(i / V)] === 1;
        const worst = maxDifference(logits, reference.get(`${side}.logits`)!, real);
        assert(worst < 1e-4, `logits differ by ${worst}`);
        const want = expected.losses[side].ce;
        assert(Math.abs(loss - want) < 1e-5 * want, `loss ${loss}, expected ${want}`);
      });
    }

    for (
      const [kind, zLoss] of [["ce", 0], ["ce_plus_max_z", expected.aux_max_z_loss_weight]] as const
    ) {
      Deno.test(`${name}/${dir}: all gradients of ${kind} equal transformers`, () => {
        const { loss, tensors } = compute({ modelPath, zLoss, grads: "all" }, "right");
        const want = expected.losses.right[kind];
        assert(Math.abs(loss - want) < 1e-5 * want, `loss ${loss}, expected ${want}`);
        const names = [...reference.keys()].filter((key) => key.startsWith(`grad.${kind}.`));
        assert(names.length > 0);
        for (const key of names) {
          const theirs = reference.get(key)!;
          const ours = tensors.get(`grad.${key.slice(`grad.${kind}.`.length)}`);
          assert(ours, `${key} was not written`);
          const size = theirs.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
          const worst = maxDifference(ours, theirs, () => true);
          assert(worst <= 1e-4 * size, `${key} differs by ${worst} of ${size}`);
        }
        for (
          const [key, theirs] of Object.entries(expected.grad_norm?.[`right.${kind}`].each ?? {})
        ) {
          const ours = Math.sqrt(tensors.get(`grad.${key}`)!.reduce((sum, g) => sum + g * g, 0));
          assert(Math.abs(ours - theirs) <= 1e-4 * theirs, `${key}: norm ${ours}, not ${theirs}`);
        }
      });
    }
  }
}

for (const [dtype, suffix] of [["bf16", "bf16"], ["f16", "fp16"]] as const) {
  Deno.test(`llama: logits computed in ${dtype} are as close as torch's own`, () => {
    const reference = readF32(join(FIXTURES, "llama/expected.safetensors"));
    const exact = reference.get("right.logits")!;
    const torch = reference.get(`right.logits_computed_in_${suffix}`)!;
    const modelPath = join(FIXTURES, `llama/hf_${suffix}`);
    const ours = compute({ modelPath, dtype }, "right").tensors.get("logits")!;
    const theirs = maxDifference(torch, exact, () => true);
    const worst = maxDifference(ours, exact, () => true);
    assert(worst < 1.5 * theirs, `our rounding is ${worst}, torch's ${theirs}`);
  });
}

for (const name of ["bloom_h6", "mistral", "chatglm3", "baichuan2_13b"]) {
  Deno.test(`${name}: the reference attention equals transformers as well`, () => {
    const reference = readF32(join(FIXTURES, name, "expected.safetensors"));
    const modelPath = join(FIXTURES, name, "hf");
    const { tensors } = compute({ modelPath, attention: "reference" }, "right");
    const worst = maxDifference(
      tensors.get("logits")!,
      reference.get("right.logits")!,
      () => true,
    );
    assert(worst < 1e-4, `logits differ by ${worst}`);
  });
}

Deno.test("logits: the same run gives the same bits", () => {
  const modelPath = join(FIXTURES, "llama_gqa/hf");
  const [a, b] = [0, 1].map(() => compute({ modelPath, grads: "all" }, "right").tensors);
  assertEquals(a, b);
});
