/** Conversations, and how they become the ids that a model is trained on. @module */

/** One message, in the form of the OpenAI API. What templates read of other fields is kept. */
export interface ChatMessage {
  /** Who speaks: `system`, `user`, `assistant`, `tool`, or what else the template knows. */
  role: string;
  /** The text; null where a message is only calls of tools. */
  content: string | null;
  /** `tool_calls`, `reasoning_content`, `name` and others, as the template wants them. */
  [field: string]: unknown;
}

/** A sample of messages. */
export interface Conversation {
  /** In order. */
  messages: readonly ChatMessage[];
  /** Descriptions of tools that may be called, if there are any. */
  tools?: readonly unknown[] | undefined;
}

/** Ids and which of them a model learns to write. */
export interface LearnedIds {
  /** [T] token ids. */
  ids: Int32Array;
  /** [T] 1 where it is learned, else 0. */
  learned: Uint8Array;
}

/** The way in which the model of a directory is talked to. */
export interface Chat {
  /**
   * Encodes a conversation whole. Learned are the messages of the assistant, from where the model
   * would begin to write to the end of turn, unless a message has the `weight` 0.
   *
   * @throws {ChatError} If it is not a conversation that this model can have
   */
  encode(conversation: Conversation): LearnedIds;
  /** Encodes a conversation and what makes the model answer. */
  encodePrompt(conversation: Conversation): Int32Array;
}

/** Whether the model learns a message. */
export function isLearned({ role, weight }: ChatMessage): boolean {
  return role === "assistant" && !isZero(weight);
}

/** Whether a field is the number 0, `0.0` as well. */
function isZero(value: unknown): boolean {
  return value === 0 || value instanceof Number && Number(value) === 0;
}
