/**
 * A pickle machine that can only build data. Nothing is ever looked up, imported or run: each name
 * that a pickle asks for is handed to the caller, who knows a few and refuses the others.
 * @module
 */
import type { ByteReader } from "./byte_reader.ts";

/** Something that a pickle may call. */
export interface PickleFunction {
  /** Its value for the arguments. @throws {RangeError} Saying what is wrong with them */
  call(args: readonly unknown[]): unknown;
}

/** What a pickle may use from outside. */
export interface PickleHost {
  /** The function or constant of a name, or undefined to refuse the pickle. */
  find(module: string, name: string): unknown;
  /** The value of a persistent id. @throws {RangeError} Saying what is wrong with it */
  load(id: unknown): unknown;
}

/** Longest integer in bytes; torch writes none above 10. */
const INTEGER_LIMIT = 32;

/**
 * Reads one pickle, protocol 2 to 5. Dicts become Maps, sets Sets, lists and tuples arrays, integers
 * numbers (bigint when beyond 2^53), None null.
 *
 * @throws {FormatError} On a name or id that the host refuses, on an opcode that data does not
 *   need, and on any that does not fit what is there
 */
export function readPickle(reader: ByteReader, host: PickleHost): unknown {
  return new Machine(reader, host).run();
}

class Machine {
  readonly #stack: unknown[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, unknown>();
  readonly #reader: ByteReader;
  readonly #host: PickleHost;

  constructor(reader: ByteReader, host: PickleHost) {
    this.#reader = reader;
    this.#host = host;
  }

  run(): unknown {
    for (;;) {
      const code = this.#reader.u8();
      const opcode = String.fromCharCode(code);
      if (opcode === ".") return this.#pop();
      if (!this.#value(opcode) && !this.#structure(opcode)) {
        throw this.#fail(`its pickle has the opcode 0x${code.toString(16)}, which data needs not`);
      }
    }
  }

  /** Opcodes that push a plain value. */
  #value(opcode: string): boolean {
    const reader = this.#reader;
    switch (opcode) {
      case "N":
        return this.#push(null);
      case "\x88":
        return this.#push(true);
      case "\x89":
        return this.#push(false);
      case "J":
        return this.#push(reader.i32());
      case "K":
        return this.#push(reader.u8());
      case "M":
        return this.#push(reader.u16());
      case "\x8a":
        return this.#push(this.#integer(reader.u8()));
      case "\x8b":
        return this.#push(this.#integer(reader.u32()));
      case "G":
        return this.#push(new DataView(reader.take(8).buffer).getFloat64(0));
      case "X":
      case "T":
        return this.#push(this.#text(reader.u32()));
      case "\x8c":
      case "U":
        return this.#push(this.#text(reader.u8()));
      case "\x8d":
        return this.#push(this.#text(reader.u64()));
      case "C":
        return this.#push(reader.take(reader.u8()));
      case "B":
        return this.#push(reader.take(reader.u32()));
      case "\x8e":
      case "\x96":
        return this.#push(reader.take(reader.u64()));
      case "}":
        return this.#push(new Map());
      case "\x8f":
        return this.#push(new Set());
      case "]":
      case ")":
        return this.#push([]);
      default:
        return false;
    }
  }

  /** Opcodes that work on the stack, the memo and the host. */
  #structure(opcode: string): boolean {
    const reader = this.#reader;
    switch (opcode) {
      case "\x80":
        return this.#expect(reader.u8() <= 5, "its pickle has a protocol above 5");
      case "\x95":
        reader.u64();
        return true;
      case "(":
        this.#marks.push(this.#stack.length);
        return true;
      case "0":
        this.#pop();
        return true;
      case "1":
        this.#popMark();
        return true;
      case "2":
        return this.#push(this.#top());
      case "q":
        return this.#remember(reader.u8());
      case "r":
        return this.#remember(reader.u32());
      case "\x94":
        return this.#remember(this.#memo.size);
      case "h":
        return this.#recall(reader.u8());
      case "j":
        return this.#recall(reader.u32());
      case "t":
      case "l":
        return this.#push(this.#popMark());
      case "\x85":
      case "\x86":
      case "\x87":
        return this.#push(this.#popMany(opcode.charCodeAt(0) - 0x84));
      case "a":
        return this.#append(this.#popMany(1));
      case "e":
        return this.#append(this.#popMark());
      case "\x90":
        return this.#addItems(this.#popMark());
      case "\x91":
        return this.#push(new Set(this.#popMark()));
      case "s":
        return this.#setItems(this.#popMany(2));
      case "u":
        return this.#setItems(this.#popMark());
      case "d": {
        const items = this.#popMark();
        this.#push(new Map());
        return this.#setItems(items);
      }
      case "c":
        return this.#global(reader.line(), reader.line());
      case "\x93": {
        const [module, name] = this.#popMany(2);
        if (typeof module === "string" && typeof name === "string") {
          return this.#global(module, name);
        }
        throw this.#fail("its pickle asks for what has no name");
      }
      case "R": {
        const [callee, args] = this.#popMany(2);
        return this.#push(this.#call(callee, args));
      }
      case "b":
        return this.#ignoreState();
      case "Q":
        return this.#load(this.#pop());
      default:
        return false;
    }
  }

  #push(value: unknown): true {
    this.#stack.push(value);
    return true;
  }

  #pop(): unknown {
    return this.#popMany(1)[0];
  }

  #popMany(count: number): unknown[] {
    const begin = this.#stack.length - count;
    this.#expect(begin >= (this.#marks.at(-1) ?? 0), "its pickle takes from an empty stack");
    return this.#stack.splice(begin);
  }

  #popMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#fail("its pickle takes from an empty stack");
    return this.#stack.splice(mark);
  }

  #top(): unknown {
    const top = this.#pop();
    this.#push(top);
    return top;
  }

  #remember(key: number): true {
    this.#memo.set(key, this.#top());
    return true;
  }

  #recall(key: number): true {
    this.#expect(this.#memo.has(key), `its pickle asks for the value ${key}, which it never kept`);
    return this.#push(this.#memo.get(key));
  }

  #append(items: readonly unknown[]): true {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.#fail("its pickle appends to what is no list");
    for (const item of items) list.push(item);
    return true;
  }

  #addItems(items: readonly unknown[]): true {
    const set = this.#top();
    if (!(set instanceof Set)) throw this.#fail("its pickle adds items to what is no set");
    for (const item of items) set.add(item);
    return true;
  }

  #setItems(items: readonly unknown[]): true {
    const dict = this.#top();
    if (!(dict instanceof Map)) throw this.#fail("its pickle sets items of what is no dict");
    this.#expect(items.length % 2 === 0, "its pickle sets a key without a value");
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
    return true;
  }

  #global(module: string, name: string): true {
    const found = this.#host.find(module, name);
    if (found !== undefined) return this.#push(found);
    throw this.#fail(`its pickle asks for ${module}.${name}, which a file of tensors needs not`);
  }

  #call(callee: unknown, args: unknown): unknown {
    if (!isFunction(callee) || !Array.isArray(args)) {
      throw this.#fail("its pickle calls what is no function");
    }
    return this.#ask(() => callee.call(args));
  }

  #load(id: unknown): true {
    return this.#push(this.#ask(() => this.#host.load(id)));
  }

  #ask<T>(host: () => T): T {
    try {
      return host();
    } catch (error) {
      throw error instanceof RangeError ? this.#fail(error.message) : error;
    }
  }

  /** An OrderedDict may carry attributes (`_metadata`); nothing else has a state. */
  #ignoreState(): true {
    this.#pop();
    return this.#expect(
      this.#top() instanceof Map,
      "its pickle sets the state of an object, which a file of tensors needs not",
    );
  }

  #integer(bytes: number): number | bigint {
    this.#expect(bytes <= INTEGER_LIMIT, `its pickle has an integer of ${bytes} bytes`);
    const digits = this.#reader.take(bytes);
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) value = value << 8n | BigInt(digits[i]);
    value = BigInt.asIntN(8 * bytes, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #text(bytes: number): string {
    return new TextDecoder().decode(this.#reader.take(bytes));
  }

  #expect(condition: boolean, otherwise: string): true {
    if (!condition) throw this.#fail(otherwise);
    return true;
  }

  #fail(reason: string): Error {
    return this.#reader.fail(`${reason} (at byte ${this.#reader.position})`);
  }
}

/** Whether a pickle may call it. */
export function isFunction(value: unknown): value is PickleFunction {
  return typeof value === "object" && value !== null && "call" in value &&
    typeof value.call === "function";
}
