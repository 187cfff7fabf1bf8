/** A component of a tokenizer.json: typed access to its fields, with errors that say where. @module */

/** A JSON object and its place in the file, such as `pre_tokenizer.pretokenizers[0]`. */
export class Component {
  /** Place in the file. */
  readonly path: string;
  readonly #fields: Record<string, unknown>;

  /**
   * Takes a value of the file.
   *
   * @param value Must be a JSON object
   * @param path Place in the file
   * @throws {TypeError} If it is not
   */
  constructor(value: unknown, path: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new TypeError(`${path} must be an object: current value is ${show(value)}`);
    }
    this.path = path;
    this.#fields = value as Record<string, unknown>;
  }

  /** All fields. */
  get fields(): Readonly<Record<string, unknown>> {
    return this.#fields;
  }

  /** The field as it is. */
  raw(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }

  /** The name of the component. */
  get type(): string {
    return this.text("type");
  }

  /** A string. @throws {TypeError} If it is not, and there is no default */
  text(name: string, byDefault?: string): string {
    return this.#typed(name, "string", byDefault);
  }

  /** true or false. @throws {TypeError} If it is not, and there is no default */
  flag(name: string, byDefault?: boolean): boolean {
    return this.#typed(name, "boolean", byDefault);
  }

  /** A number. @throws {TypeError} If it is not, and there is no default */
  number(name: string, byDefault?: number): number {
    return this.#typed(name, "number", byDefault);
  }

  /** A component. @throws {TypeError} If it is not an object */
  child(name: string): Component {
    return new Component(this.raw(name), this.#place(name));
  }

  /** A component, undefined if there is none. */
  maybeChild(name: string): Component | undefined {
    return this.raw(name) == null ? undefined : this.child(name);
  }

  /** Components. @throws {TypeError} If it is not an array of objects */
  children(name: string): Component[] {
    return this.list(name).map((x, i) => new Component(x, `${this.#place(name)}[${i}]`));
  }

  /** Values. @throws {TypeError} If it is not an array */
  list(name: string): unknown[] {
    const value = this.raw(name);
    if (!Array.isArray(value)) throw this.#wrong(name, "array", value);
    return value;
  }

  /** Error for a component that is known by name only, or not at all. */
  unsupported(): TypeError {
    return new TypeError(`${this.path} is of type ${show(this.type)}, which is not supported`);
  }

  /** Error for an option that has no equal here. */
  unsupportedOption(name: string): TypeError {
    return new TypeError(`${this.#place(name)} = ${show(this.raw(name))} is not supported`);
  }

  #place(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  #typed<T>(name: string, type: string, byDefault: T | undefined): T {
    const value = this.raw(name) ?? byDefault;
    const found: string = typeof value;
    if (found !== type) throw this.#wrong(name, type, value);
    return value as T;
  }

  #wrong(name: string, type: string, value: unknown): TypeError {
    return new TypeError(
      `${this.#place(name)} must be of type ${type}: current value is ${show(value)}`,
    );
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
