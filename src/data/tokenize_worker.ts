/**
 * A worker that tokenizes the spans it is sent, in order. The first message is the task.
 * @module
 */
import { ConfigError } from "../config/config_error.ts";
import type { JsonSpan } from "../formats/json_stream.ts";
import {
  LazyTokenizer,
  type SpanTokens,
  tokenizeSpan,
  type TokenizeTask,
} from "./tokenize_span.ts";

/** What the worker answers to each span. */
export type WorkerAnswer =
  | { tokens: SpanTokens }
  | { error: { isConfig: boolean; message: string; stack: string | undefined } };

const port = self as unknown as {
  onmessage: ((event: MessageEvent<TokenizeTask | JsonSpan>) => void) | null;
  postMessage(answer: WorkerAnswer, transfer: Transferable[]): void;
};

let task: TokenizeTask | undefined;
let tokenizer: LazyTokenizer | undefined;

port.onmessage = ({ data }) => {
  if (task === undefined) {
    task = data as TokenizeTask;
    return;
  }
  try {
    tokenizer ??= new LazyTokenizer(task.modelPath);
    const tokens = tokenizeSpan(task, tokenizer, data as JsonSpan);
    port.postMessage({ tokens }, [tokens.ids.buffer, tokens.labels.buffer] as Transferable[]);
  } catch (error) {
    const { message, stack } = error as Error;
    port.postMessage({ error: { isConfig: error instanceof ConfigError, message, stack } }, []);
  }
};
