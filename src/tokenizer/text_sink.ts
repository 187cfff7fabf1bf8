/**
 * Decoders as a chain of stages that pass text on as soon as it is certain, so that decoding a whole
 * sequence and decoding it token by token are the same thing.
 *
 * @module
 */

/** A stage of a decoder: takes the tokens of a sequence, each in one or more fragments. */
export interface TextSink {
  /** Part of the current token. */
  text(fragment: string): void;
  /** The current token is complete. */
  endToken(): void;
  /** There are no more tokens. The stage is then as new. */
  end(): void;
}

/** Makes a stage that passes its result on to the next one. */
export type DecoderStage = (next: TextSink) => TextSink;

/** Collects what the last stage gives. */
export class TextCollector implements TextSink {
  #text = "";

  /** Appends. */
  text(fragment: string): void {
    this.#text += fragment;
  }

  /** Tokens are joined without anything between. */
  endToken(): void {}

  /** Nothing is held back. */
  end(): void {}

  /** What came since the last call. */
  take(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }
}

/**
 * A stage that looks at whole tokens.
 *
 * @param rewrite Token and its position to the tokens it becomes
 * @param rest Tokens to add at the end of the sequence
 */
export function wholeTokens(
  rewrite: (token: string, index: number) => readonly string[],
  rest: () => readonly string[] = () => [],
): DecoderStage {
  return (next) => {
    let token = "", index = 0;
    const pass = (tokens: readonly string[]) => {
      for (const t of tokens) {
        next.text(t);
        next.endToken();
      }
    };
    return {
      text: (fragment) => void (token += fragment),
      endToken() {
        pass(rewrite(token, index++));
        token = "";
      },
      end() {
        pass(rest());
        token = "";
        index = 0;
        next.end();
      },
    };
  };
}

/** Makes a sequence a single token. */
export function fuse(next: TextSink): TextSink {
  return {
    text: (fragment) => next.text(fragment),
    endToken() {},
    end() {
      next.endToken();
      next.end();
    },
  };
}

/** Removes up to `count` characters `content` from the start of each token. */
export function stripStart(content: string, count: number): DecoderStage {
  return (next) => {
    let left = count;
    return {
      text(fragment) {
        let begin = 0;
        while (left > 0 && begin < fragment.length) {
          if (fragment.startsWith(content, begin)) {
            begin += content.length;
            left--;
          } else left = 0;
        }
        if (begin < fragment.length) next.text(fragment.slice(begin));
      },
      endToken() {
        left = count;
        next.endToken();
      },
      end() {
        left = count;
        next.end();
      },
    };
  };
}

/** Joins stages, the first one first. */
export function joinStages(stages: readonly DecoderStage[]): DecoderStage {
  return (next) => stages.reduceRight((sink, stage) => stage(sink), next);
}
