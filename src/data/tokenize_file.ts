/**
 * A whole data file, tokenized by as many workers as there are cores, in file order.
 * @module
 */
import { ConfigError } from "../config/config_error.ts";
import { type JsonSpan, spans } from "../formats/json_stream.ts";
import {
  LazyTokenizer,
  type SpanTokens,
  tokenizeSpan,
  type TokenizeTask,
} from "./tokenize_span.ts";
import type { WorkerAnswer } from "./tokenize_worker.ts";

/** The program of a worker; packing the binary finds and rewrites this address. */
const WORKER = new URL("./tokenize_worker.ts", import.meta.url);
/** Files below so many bytes are done before workers would have started. */
const INLINE_BYTES = 1 << 20;
/** Spans that wait at each worker: one in work, one to go on with. */
const SPANS_PER_WORKER = 2;

/**
 * Yields the samples span by span, in file order, and the byte of the file up to which they go.
 * What is held in memory does not depend on the size of the file.
 *
 * @param workers Number of workers (at least 1)
 * @throws {ConfigError} For the first broken sample of the file, whichever worker met it
 */
export async function* tokenizeFile(
  task: TokenizeTask,
  workers: number,
): AsyncGenerator<{ tokens: SpanTokens; end: number }> {
  const size = Deno.statSync(task.dataPath).size;
  if (size <= INLINE_BYTES || workers < 1) {
    const tokenizer = new LazyTokenizer(task.modelPath);
    for (const span of spansOf(task.dataPath)) {
      yield { tokens: tokenizeSpan(task, tokenizer, span), end: span.ends.at(-1)! };
    }
    return;
  }
  const count = Math.min(workers, Math.ceil(size / INLINE_BYTES));
  const pool = Array.from({ length: count }, () => new TokenizeWorker(task));
  try {
    const waiting: { tokens: Promise<SpanTokens>; end: number }[] = [];
    const scan = spansOf(task.dataPath);
    let turn = 0, hasMore = true, broken: unknown;
    while (hasMore || waiting.length > 0) {
      while (hasMore && waiting.length < count * SPANS_PER_WORKER) {
        try {
          const { value: span, done } = scan.next();
          hasMore = !done;
          if (!span) break;
          const tokens = pool[turn++ % count]!.tokenize(span);
          tokens.catch(() => {}); // it is thrown below, when its turn comes
          waiting.push({ tokens, end: span.ends.at(-1)! });
        } catch (error) { // what comes before the broken place is looked at first
          broken = error;
          hasMore = false;
        }
      }
      const next = waiting.shift();
      if (next) yield { tokens: await next.tokens, end: next.end };
    }
    if (broken) throw broken;
  } finally {
    for (const worker of pool) worker.terminate();
  }
}

class TokenizeWorker {
  readonly #worker = new Worker(WORKER, { type: "module", name: "tokenize" });
  readonly #answers: PromiseWithResolvers<SpanTokens>[] = [];
  #failure: Error | undefined;

  constructor(task: TokenizeTask) {
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerAnswer>) => {
      const answer = this.#answers.shift()!;
      if ("tokens" in data) return answer.resolve(data.tokens);
      const { isConfig, message, stack } = data.error;
      const error = isConfig ? new ConfigError(message) : new Error(message);
      if (stack !== undefined) error.stack = stack;
      answer.reject(error);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const cause = new Error(event.message);
      const failure = new Error(`Cannot tokenize: a worker failed (${WORKER})`, { cause });
      for (const answer of this.#answers.splice(0)) answer.reject(failure);
      this.#failure = failure;
    };
    this.#worker.postMessage(task);
  }

  tokenize(span: JsonSpan): Promise<SpanTokens> {
    if (this.#failure) return Promise.reject(this.#failure);
    const answer = Promise.withResolvers<SpanTokens>();
    this.#answers.push(answer);
    this.#worker.postMessage(span);
    return answer.promise;
  }

  terminate(): void {
    this.#worker.terminate();
  }
}

function* spansOf(path: string): ReturnType<typeof spans> {
  try {
    yield* spans(path);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new ConfigError(cause.message, { cause });
  }
}
