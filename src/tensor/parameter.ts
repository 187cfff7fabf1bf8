/** Parameters of a stage: one flat buffer each for weights, gradients and optimizer state. @module */
import { aligned } from "./arena.ts";
import type { Device } from "./device.ts";
import { BYTES_PER_ELEMENT, type FloatType } from "./dtype.ts";
import { Tensor } from "./tensor.ts";

/** How a parameter starts when a model is trained from scratch. */
export type Initializer =
  | { kind: "normal"; std: number; /** Row that stays zero (padding). */ zeroRow?: number }
  | { kind: "ones" }
  | { kind: "zeros" };

/** What a layer declares of one of its parameters. */
export interface ParameterSpec {
  /** Name inside the layer, such as `self_attn.q_proj.weight`. */
  name: string;
  /** Sizes, outermost first; a linear weight is [out, in]. */
  shape: readonly number[];
  /** How it starts. */
  init: Initializer;
  /**
   * Name shared by the places of one logical tensor, such as `embed` of tied embeddings: in one
   * stage they are one parameter, in two stages their gradients are summed.
   */
  tied?: string;
  /** Share of the tokens that are multiplied with it, as by an expert; 1 unless given. */
  share?: number;
}

/** One trained tensor. */
export interface Parameter {
  /** Layer of the pipeline, 0 for the embedding. */
  readonly layer: number;
  /** Declared name, shape and start. */
  readonly spec: ParameterSpec;
  /** `layer.name`. */
  readonly path: string;
  /**
   * The name that patterns such as no_wd_kws see, that of DeepSpeed's pipelines: the path, or
   * `tied_modules.KEY.name` for all of a layer that holds a tied parameter.
   */
  readonly pipelineName: string;
  /** [shape] in the dtype of the model. */
  readonly weight: Tensor;
  /** [shape] f32, added to by backward passes; undefined when the store does not train. */
  readonly grad: Tensor | undefined;
  /** First element in the flat buffers. */
  readonly begin: number;
}

/** Storage of the parameters of consecutive layers. */
export class ParameterStore {
  /** In flat order. Parameters of a layer stand in the order it declares them. */
  readonly parameters: readonly Parameter[];
  /** Elements of each flat buffer, gaps included. */
  readonly size: number;
  /** [size] in the dtype of the model. */
  readonly weights: Tensor;
  /** [size] f32. */
  readonly grads: Tensor | undefined;
  /** Storage type of the weights. */
  readonly dtype: FloatType;
  #byName = new Map<string, Parameter>();

  /**
   * Lays out and allocates the parameters.
   *
   * @param layers Layer number and its parameters, in order
   * @param options.dtype Storage type of the weights
   * @param options.train Whether gradients are needed
   */
  constructor(
    device: Device,
    layers: readonly { layer: number; parameters: readonly ParameterSpec[] }[],
    options: { dtype: FloatType; train: boolean },
  ) {
    this.dtype = options.dtype;
    const placed: Pick<Parameter, "layer" | "spec" | "begin" | "pipelineName">[] = [];
    const tied = new Map<string, number>();
    const alias: [string, number][] = [];
    let end = 0;
    for (const { layer, parameters } of layers) {
      const shared = parameters.find((spec) => spec.tied !== undefined)?.tied;
      const module = shared === undefined ? layer : `tied_modules.${shared}`;
      for (const spec of parameters) {
        const first = spec.tied === undefined ? undefined : tied.get(spec.tied);
        if (first !== undefined) {
          alias.push([`${layer}.${spec.name}`, first]);
          continue;
        }
        if (spec.tied !== undefined) tied.set(spec.tied, placed.length);
        placed.push({ layer, spec, begin: end, pipelineName: `${module}.${spec.name}` });
        end += spec.shape.reduce((a, b) => a * b, 1);
      }
      end = aligned(end); // layers begin on a cache line; inside one, fused parameters are adjacent
    }
    this.size = end;
    this.weights = device.zeros([end], options.dtype); // the gaps stay zero
    this.grads = options.train ? device.zeros([end], "f32") : undefined;
    this.parameters = placed.map(({ layer, spec, begin, pipelineName }) => ({
      layer,
      spec,
      path: `${layer}.${spec.name}`,
      pipelineName,
      weight: this.weights.view(begin, spec.shape),
      grad: this.grads?.view(begin, spec.shape),
      begin,
    }));
    for (const p of this.parameters) this.#byName.set(p.path, p);
    for (const [path, at] of alias) this.#byName.set(path, this.parameters[at]);
  }

  /** The parameter of a layer. @throws {TypeError} If the layer did not declare it */
  get(layer: number, name: string): Parameter {
    const found = this.#byName.get(`${layer}.${name}`);
    if (!found) throw new TypeError(`Cannot find parameter "${name}" in layer ${layer}`);
    return found;
  }

  /**
   * Several parameters of a layer as one [sum of rows, columns] parameter, for one larger product.
   *
   * @throws {TypeError} If they were not declared one after another with equal columns
   */
  fused(layer: number, names: readonly string[]): Parameter {
    const key = `${layer}.${names.join("+")}`;
    const known = this.#byName.get(key);
    if (known) return known;
    const parts = names.map((name) => this.get(layer, name));
    const columns = parts[0].spec.shape.slice(1);
    let next = parts[0].begin;
    for (const part of parts) {
      if (part.begin !== next || part.spec.shape.slice(1).join() !== columns.join()) {
        throw new TypeError(`Cannot fuse ${names.join(", ")} as they do not follow each other`);
      }
      next += part.weight.size;
    }
    const rows = parts.reduce((sum, part) => sum + part.spec.shape[0], 0);
    const shape = [rows, ...columns];
    const { begin } = parts[0];
    const fused: Parameter = {
      layer,
      spec: { name: names.join("+"), shape, init: parts[0].spec.init },
      path: key,
      pipelineName: key, // no pattern sees it
      weight: this.weights.view(begin, shape),
      grad: this.grads?.view(begin, shape),
      begin,
    };
    this.#byName.set(key, fused);
    return fused;
  }

  /** Bytes of weights and of gradients. */
  bytes(): { weights: number; gradients: number } {
    return {
      weights: this.size * BYTES_PER_ELEMENT[this.dtype],
      gradients: this.grads ? this.size * 4 : 0,
    };
  }
}
