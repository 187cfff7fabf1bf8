/** Where words for a person go: stderr, line by line, with one line at the bottom that is redrawn. @module */

/** A stream of lines; the last one may be redrawn if it is a terminal. */
export interface Terminal {
  /** True when a person looks at it and a line can be redrawn. */
  isInteractive: boolean;
  /** Columns; a redrawn line must be shorter. */
  columns(): number;
  /** Writes text as it is. */
  write(text: string): void;
}

/** The terminal, file or pipe behind stderr. */
export function stderrTerminal(): Terminal {
  const encoder = new TextEncoder();
  return {
    isInteractive: Deno.stderr.isTerminal() && Deno.env.get("TERM") !== "dumb",
    columns: () => {
      try {
        return Deno.consoleSize().columns || 80;
      } catch {
        return 80; // no terminal
      }
    },
    write: (text) => {
      const bytes = encoder.encode(text);
      for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
    },
  };
}

/** Prints lines above one line that stays at the bottom and is redrawn. */
export class Screen {
  readonly #terminal: Terminal;
  readonly #also: (lines: string) => void;
  #bottom = "";

  /** Writes to `terminal`, and what is printed to `also` as well. */
  constructor(terminal: Terminal = stderrTerminal(), also: (lines: string) => void = () => {}) {
    this.#terminal = terminal;
    this.#also = also;
  }

  /** True when the bottom line is shown. */
  get isInteractive(): boolean {
    return this.#terminal.isInteractive;
  }

  /** Columns of the terminal. */
  get columns(): number {
    return this.#terminal.columns();
  }

  /** Prints one or more whole lines. */
  print(text: string): void {
    const erase = this.#bottom === "" ? "" : "\r\x1b[K";
    this.#terminal.write(`${erase}${text}\n${this.#bottom}`);
    this.#also(`${text}\n`);
  }

  /** Redraws the bottom line, cut to the width; an empty text removes it. Nothing on a pipe. */
  redraw(text: string): void {
    if (!this.isInteractive) return;
    this.#bottom = text.slice(0, Math.max(0, this.columns - 1)); // a full line would wrap
    this.#terminal.write(`\r\x1b[K${this.#bottom}`);
  }
}
