/**
 * Where the turns of the assistant stand in a rendered conversation.
 *
 * A template is a program: it need not say which text belongs to which message. What a model sees
 * before it writes message i is the conversation up to there with a generation prompt; what it has
 * written ends where the conversation up to and with message i ends. Both are looked for at the begin
 * of the whole text. Where a template writes earlier turns in another way than the last one (Qwen 3:
 * without thoughts; Phi 3: with an end that only the last one has), the conversation is rendered with a
 * mark as the content of message i: what stands around the mark stands around the content.
 *
 * @module
 */
import { ChatError } from "./chat_error.ts";
import { type ChatMessage, type Conversation, isLearned } from "./conversation.ts";
import { type JinjaTemplate, type Range, unusedMarks } from "./jinja_template.ts";

/**
 * The ranges of `text` that a model learns, in order.
 *
 * @param text The whole conversation, rendered
 * @throws {ChatError} If a turn cannot be found
 */
export function learnedRanges(
  template: JinjaTemplate,
  { messages, tools }: Conversation,
  text: string,
): Range[] {
  const render = (some: readonly ChatMessage[], asks = false) =>
    some.length === 0 ? "" : template.render({ messages: some, tools }, asks).text;
  const [mark] = unusedMarks(text);
  const aroundMark = (marked: string): [before: string, after: string] | undefined => {
    const at = marked.indexOf(mark);
    return at < 0 ? undefined : [marked.slice(0, at), marked.slice(at + mark.length)];
  };
  const ends = new Map<string, string | undefined>(); // of last turns, by all of a message but its text
  const ranges: Range[] = [];
  messages.forEach((message, i) => {
    if (!isLearned(message)) return;
    const before = messages.slice(0, i), after = messages.slice(i + 1);
    const marked = { ...message, content: mark }, kind = JSON.stringify(marked);
    const around = once(() => aroundMark(render([...before, marked, ...after])));
    const from = ranges.at(-1)?.[1] ?? 0, begin = findBegin() ?? -1;
    const end = begin < from ? undefined : after.length === 0 ? text.length : findEnd();
    if (end === undefined || end < begin) {
      throw new ChatError(
        `the chat template writes messages[${i}] in another way when messages follow it, so it is ` +
          `not known which tokens are its: mark them with {% generation %} in the template`,
      );
    }
    const written = `${message.content ?? ""}`.trim(), isOther = Boolean(message["tool_calls"]);
    if (!isOther && !text.slice(begin, end).includes(written) && around() === undefined) {
      throw new ChatError(
        `the chat template does not write the content of messages[${i}]: it may want a list of parts`,
      );
    }
    ranges.push([begin, end]);

    /** After the generation prompt; in a template that has none here, at the content. */
    function findBegin(): number | undefined {
      const prompt = render(before, true);
      if (text.startsWith(prompt) && prompt !== render(before)) return prompt.length;
      const head = around()?.[0];
      return head !== undefined && text.startsWith(head) ? head.length : undefined;
    }

    /** After the end of turn. */
    function findEnd(): number | undefined {
      const asLast = render([...before, message]);
      if (asLast.length >= begin && text.startsWith(asLast)) return asLast.length;
      if (!ends.has(kind)) ends.set(kind, aroundMark(render([...before, marked]))?.[1]);
      const rest = around()?.[1], endOfLast = ends.get(kind);
      if (rest !== undefined && endOfLast !== undefined && text.endsWith(rest)) {
        return text.length - rest.length + endOfTurn(endOfLast, rest);
      }
      if (message.content) return undefined;
      // calls of tools: the longest of what follows that ends the turn as the last one, too
      for (let length = Math.min(asLast.length, text.length - begin); length > 0; length--) {
        if (asLast.endsWith(text.slice(begin, begin + length))) return begin + length;
      }
      return undefined;
    }
  });
  return ranges;
}

/**
 * How much of what follows a content ends its turn: what ends a last turn as well, without the begin of
 * a token of another name; else a token that ends only turns like this one, if there is one.
 */
function endOfTurn(endOfLast: string, rest: string): number {
  let i = 0;
  while (i < endOfLast.length && endOfLast[i] === rest[i]) i++;
  if (i === endOfLast.length) return i;
  const shared = endOfLast.slice(0, i).replace(/[^\s>\])]*$/, "").length;
  return shared > 0 ? shared : /^<[^\s<>]+>/.exec(rest)?.[0].length ?? 0;
}

function once<T>(run: () => T): () => T {
  let result: { value: T } | undefined;
  return () => (result ??= { value: run() }).value;
}
