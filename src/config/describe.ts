/** Writes configurations for people: the table of keys, and a resolved configuration. @module */
import { stringify } from "@std/yaml";
import type { Key } from "./keys.ts";
import type { TrainConfig } from "./load.ts";
import { trainKeys } from "./train_keys.ts";

/** One line of the documentation. */
export interface KeyLine {
  /** Full path, such as "optimizer.params.lr"; keys of one case end with " (CASE)". */
  readonly path: string;
  /** What a value must be. */
  readonly type: string;
  /** Default as YAML, "required" or "" for a mapping. */
  readonly initial: string;
  /** What it is for. */
  readonly doc: string;
}

/**
 * The documentation of every key, in the order of the table.
 *
 * @returns One line per key; mappings come before the keys inside them
 */
export function keyLines(): KeyLine[] {
  return Object.entries(trainKeys).flatMap(([name, key]) => linesOf(name, key, ""));
}

/**
 * The table of keys for the README.
 *
 * @returns Markdown
 */
export function describeConfig(): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  const rows = keyLines().map((l) =>
    `| \`${l.path}\` | ${cell(l.type)} | ${l.initial && `\`${l.initial}\``} | ${cell(l.doc)} |`
  );
  return ["| key | must be | default | what it is |", "| --- | --- | --- | --- |", ...rows, ""]
    .join("\n");
}

/**
 * Writes all values of a configuration, defaults included, as YAML that reads back to the same.
 *
 * @param config The configuration
 * @returns YAML
 */
export function formatConfig(config: TrainConfig): string {
  return stringify(config.values, { flowLevel: 3, lineWidth: 100, useAnchors: false });
}

function linesOf(path: string, key: Key<unknown>, variant: string): KeyLine[] {
  const initial = key.default === undefined ? "required" : JSON.stringify(key.default);
  const mapping = key.fields ?? key.cases;
  const lines: KeyLine[] = [{
    path: path + variant,
    type: key.type,
    initial: mapping && initial === "required" ? "" : initial,
    doc: key.doc,
  }];
  for (const [name, field] of Object.entries(key.fields ?? {})) {
    lines.push(...linesOf(`${path}.${name}`, field, variant));
  }
  for (const [name, field] of Object.entries(key.cases ?? {})) {
    lines.push(...linesOf(path, { ...field, type: `type: ${name}` }, ` (${name})`));
  }
  return lines;
}
