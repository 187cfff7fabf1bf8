/** Saves a model as a trainer would. @module */
import { type ModelSource, openModel } from "../../src/checkpoint/model_source.ts";
import { CheckpointWriter, stepName } from "../../src/checkpoint/training_checkpoint.ts";
import { elementCount, type TensorData } from "../../src/formats/tensor_file.ts";

/** The weights of a layer, as a trainer streams them. */
export function weightSources(source: ModelSource, layer: number): TensorData[] {
  return source.names(layer).map((name) => {
    const { dtype, shape } = source.entry(layer, name);
    return { name, dtype, shape, chunks: () => source.chunks(layer, name) };
  });
}

/** State of an optimizer that has a number of its own for each tensor. */
export function optimizerSources(source: ModelSource, layer: number): TensorData[] {
  return source.names(layer).flatMap((name, i) =>
    ["master", "exp_avg", "exp_avg_sq"].map((kind, k): TensorData => {
      const { shape } = source.entry(layer, name);
      const values = new Float32Array(elementCount(shape)).fill(layer + i / 10 + k / 100);
      const bytes = new Uint8Array(values.buffer);
      return { name: `${kind}.${name}`, dtype: "F32", shape, chunks: () => [bytes] };
    })
  );
}

/**
 * Writes a whole checkpoint of a reference model. Returns its directory.
 *
 * @param afterBegin Runs when the writer has made its directory
 */
export async function save(
  savePath: string,
  modelDir: string,
  step: number,
  name: string = stepName(step),
  afterBegin: () => void = () => {},
): Promise<string> {
  using source = openModel(modelDir);
  const writer = new CheckpointWriter({ savePath, name, id: `s${step}` });
  try {
    writer.begin(0);
    afterBegin();
    for (let layer = 0; layer < source.layerCount; layer++) {
      await writer.writeWeights(layer, weightSources(source, layer));
      await writer.writeOptimizer(layer, optimizerSources(source, layer));
    }
    await writer.flush();
    return writer.commit({ step, state: {}, modelDir, weightsType: "BF16" });
  } catch (error) {
    writer.abort();
    throw error;
  }
}
