/** Applies `--set KEY.KEY=VALUE` to what a configuration file holds. @module */
import { ConfigError } from "./config_error.ts";
import { parseYaml } from "./yaml_source.ts";

/** A tree of values with overrides in it. */
export interface Overridden {
  /** The tree; parts that were not changed are shared with the original. */
  readonly value: unknown;
  /** "--set #n" if the value at `path` was last given by override n, else undefined. */
  origin(path: string): string | undefined;
  /** The same, if override n gave something inside the value at `path`. */
  originInside(path: string): string | undefined;
}

/**
 * Applies overrides to a tree.
 *
 * @param tree A mapping
 * @param overrides `KEY.KEY=VALUE` each, values as YAML; mappings on the way are made
 * @param problems Receives one sentence for each override that cannot be applied
 * @returns The changed tree
 */
export function applyOverrides(
  tree: object,
  overrides: readonly string[],
  problems: string[],
): Overridden {
  const value = { ...tree } as Record<string, unknown>;
  const origins: { path: string; name: string }[] = [];
  overrides.forEach((override, i) => {
    const name = `--set #${i + 1}`;
    const split = /^\s*([^=\s]+)\s*=(.*)$/s.exec(override);
    const names = split ? split[1]!.split(".") : [];
    if (!split || names.includes("")) {
      problems.push(`Cannot apply ${override} as it must be KEY=VALUE or KEY.KEY=VALUE (${name})`);
      return;
    }
    let given: unknown;
    try {
      given = parseYaml(split[2]!, name).value;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return;
    }
    let at = value;
    for (const [depth, key] of names.slice(0, -1).entries()) {
      const next = Object.hasOwn(at, key) ? at[key] ?? {} : {};
      if (typeof next !== "object" || Array.isArray(next)) {
        const path = names.slice(0, depth + 1).join(".");
        problems.push(`Cannot apply ${override} as ${path} must be a mapping of keys (${name})`);
        return;
      }
      at = at[key] = { ...next } as Record<string, unknown>;
    }
    at[names.at(-1)!] = given;
    origins.push({ path: names.join("."), name });
  });
  return {
    value,
    origin: (path) =>
      origins.findLast((o) => o.path === path || path.startsWith(`${o.path}.`))?.name,
    originInside: (path) => origins.findLast((o) => o.path.startsWith(`${path}.`))?.name,
  };
}
