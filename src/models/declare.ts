/** Parameters as families declare them. @module */
import type { ParameterSpec } from "../tensor/parameter.ts";

/** A matrix that starts as normal numbers of this deviation. */
export function normal(name: string, rows: number, columns: number, std: number): ParameterSpec {
  return { name, shape: [rows, columns], init: { kind: "normal", std } };
}

/** The factors of a norm. */
export function ones(name: string, size: number): ParameterSpec {
  return { name, shape: [size], init: { kind: "ones" } };
}

/** A bias. */
export function zeros(name: string, size: number): ParameterSpec {
  return { name, shape: [size], init: { kind: "zeros" } };
}
