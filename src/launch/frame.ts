/** Messages over a connection: a JSON head and raw bytes, with a limit on their size. @module */

/** One message. */
export interface Frame {
  /** A JSON object; `op` says what it is about. */
  head: Record<string, unknown>;
  /** What the head is about, empty for most. */
  body: Uint8Array<ArrayBuffer>;
}

/** What came over a connection is not a message: too long, cut short, or not JSON. */
export class FrameError extends Error {
  /** The name of the class. */
  override readonly name = "FrameError";
}

/**
 * Sends and receives frames: u32 length of the rest, u32 length of the head, head, body; numbers
 * little-endian.
 */
export class FrameConnection implements Disposable {
  /** Longest frame that is accepted, in bytes. */
  limitBytes: number;
  readonly #conn: Deno.TcpConn;
  #sending: Promise<void> = Promise.resolve();
  #isClosed = false;

  /** Takes over a connection. */
  constructor(conn: Deno.TcpConn, limitBytes: number) {
    this.#conn = conn;
    this.limitBytes = limitBytes;
    conn.setNoDelay(true);
    conn.setKeepAlive(true);
  }

  /** Address of the other end, for messages. */
  get peer(): string {
    const { hostname, port } = this.#conn.remoteAddr;
    return `${hostname}:${port}`;
  }

  /** Address of this end without port: the interface that reaches the other end. */
  get localHost(): string {
    return this.#conn.localAddr.hostname;
  }

  /** True once closed from this side. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Sends one frame; frames are sent in the order of the calls. */
  send(head: Record<string, unknown>, body: Uint8Array = new Uint8Array()): Promise<void> {
    const bytes = encode(head, body);
    const sent = this.#sending.then(() => this.#write(bytes));
    this.#sending = sent.catch(() => {}); // the caller of this send is told, the next one tries again
    return sent;
  }

  /**
   * Receives one frame.
   *
   * @returns undefined when the other end closed between two frames
   * @throws {FrameError} If what came is no frame
   */
  async receive(): Promise<Frame | undefined> {
    const lengths = await this.#read(8, true);
    if (!lengths) return undefined;
    const view = new DataView(lengths.buffer);
    const rest = view.getUint32(0, true);
    const headBytes = view.getUint32(4, true);
    if (rest > this.limitBytes || rest < 4 || headBytes > rest - 4) {
      throw new FrameError(
        `Cannot accept a frame longer than ${this.limitBytes} bytes or inconsistent: its first ` +
          `bytes are ${[...lengths].map((b) => b.toString(16).padStart(2, "0")).join(" ")}`,
      );
    }
    const bytes = await this.#read(rest - 4);
    return { head: parseHead(bytes!.subarray(0, headBytes)), body: bytes!.subarray(headBytes) };
  }

  /** Closes the connection; what waits on it fails. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#conn.close();
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.close();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let begin = 0; begin < bytes.length;) {
      begin += await this.#conn.write(bytes.subarray(begin));
    }
  }

  async #read(size: number, mayEnd = false): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const n = await this.#conn.read(bytes.subarray(at));
      if (n === null && at === 0 && mayEnd) return undefined;
      if (n === null) throw new FrameError("Cannot read a frame: the connection ended inside it");
      at += n;
    }
    return bytes;
  }
}

function encode(head: Record<string, unknown>, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const bytes = new Uint8Array(8 + text.length + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length - 4, true);
  view.setUint32(4, text.length, true);
  bytes.set(text, 8);
  bytes.set(body, 8 + text.length);
  return bytes;
}

function parseHead(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new FrameError("Cannot read the head of a frame as JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FrameError("Cannot use the head of a frame as it must be a JSON object");
  }
  return value as Record<string, unknown>;
}
