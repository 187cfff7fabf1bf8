/**
 * How a rank and the supervisor convince each other that they hold the same token, which itself
 * never travels.
 *
 *   server -> challenge {protocol, nonce}
 *   rank   -> hello     {protocol, nonce, rank, world, proof = HMAC(token, "rank" ...)}
 *   server -> welcome   {proof = HMAC(token, "supervisor" ...)}  or  refused {reason}
 *
 * @module
 */
import type { FrameConnection } from "./frame.ts";

/** Version of the messages between ranks and supervisor; both must have the same. */
export const PROTOCOL = 1;
/** Longest frame of one who has not yet shown the token. */
export const HELLO_LIMIT_BYTES = 4096;
/** Longest frame of a rank. */
export const RANK_LIMIT_BYTES = 16 << 20;
/** Longest frame of the supervisor: all blobs of an exchange. */
export const SUPERVISOR_LIMIT_BYTES = 512 << 20;

/** The place a rank claims. */
export interface Claim {
  /** Number of the rank. */
  rank: number;
  /** How many ranks there are. */
  world: number;
}

/** One side refused the other. */
export class RefusedError extends Error {
  /** The name of the class. */
  override readonly name = "RefusedError";
}

/** A new token: 256 random bits, in hexadecimal. */
export function makeToken(): string {
  return randomHex(32);
}

/**
 * The supervisor's side of the handshake. Tells the other end why it is refused.
 *
 * @param accept Says why a claim cannot be met, undefined if it can
 * @throws {RefusedError} If the other end is not a rank of this run
 */
export async function admit(
  connection: FrameConnection,
  token: string,
  accept: (claim: Claim) => string | undefined,
): Promise<Claim> {
  const nonce = randomHex(16);
  await connection.send({ op: "challenge", protocol: PROTOCOL, nonce });
  const frame = await connection.receive();
  const head = frame?.head ?? {};
  const reason = await judge(head, token, nonce, accept);
  if (reason !== undefined) {
    await connection.send({ op: "refused", reason });
    throw new RefusedError(reason);
  }
  const claim = { rank: head.rank as number, world: head.world as number };
  const proof = await prove(token, "supervisor", nonce, head.nonce as string, claim);
  await connection.send({ op: "welcome", proof });
  return claim;
}

/**
 * The rank's side of the handshake.
 *
 * @throws {RefusedError} If the supervisor refuses, or is none of this run
 */
export async function introduce(
  connection: FrameConnection,
  token: string,
  claim: Claim,
): Promise<void> {
  const challenge = await connection.receive();
  if (challenge?.head.op !== "challenge" || typeof challenge.head.nonce !== "string") {
    throw new RefusedError(`Cannot join the run: ${connection.peer} is not a supervisor`);
  }
  const mine = randomHex(16);
  const proof = await prove(token, "rank", challenge.head.nonce, mine, claim);
  await connection.send({ op: "hello", protocol: PROTOCOL, nonce: mine, ...claim, proof });
  const answer = await connection.receive();
  if (answer?.head.op !== "welcome") {
    const reason = String(answer?.head.reason ?? "the connection was closed");
    throw new RefusedError(`Cannot join the run at ${connection.peer}: ${reason}`);
  }
  const expected = await prove(token, "supervisor", challenge.head.nonce, mine, claim);
  if (!isSame(String(answer.head.proof), expected)) {
    throw new RefusedError(`Cannot join the run: ${connection.peer} does not hold the token`);
  }
}

async function judge(
  head: Record<string, unknown>,
  token: string,
  nonce: string,
  accept: (claim: Claim) => string | undefined,
): Promise<string | undefined> {
  if (head.op !== "hello") return "the first message must be hello";
  if (head.protocol !== PROTOCOL) {
    return `the protocol must be ${PROTOCOL}: that of the rank is ${head.protocol}`;
  }
  const { rank, world } = head;
  if (!Number.isSafeInteger(rank) || !Number.isSafeInteger(world)) return "no rank is named";
  if (typeof head.nonce !== "string" || typeof head.proof !== "string") return "no proof is given";
  const claim = { rank: rank as number, world: world as number };
  const expected = await prove(token, "rank", nonce, head.nonce, claim);
  if (!isSame(head.proof, expected)) return "the token is not that of this run";
  return accept(claim);
}

async function prove(
  token: string,
  side: "rank" | "supervisor",
  supervisorNonce: string,
  rankNonce: string,
  { rank, world }: Claim,
): Promise<string> {
  const encoder = new TextEncoder();
  const key = await crypto.subtle.importKey(
    "raw",
    encoder.encode(token),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const text = ["llmpipe", PROTOCOL, side, supervisorNonce, rankNonce, rank, world].join(" ");
  return hex(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text))));
}

/** Compares in a time that does not tell where two texts differ. */
function isSame(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}

function randomHex(bytes: number): string {
  return hex(crypto.getRandomValues(new Uint8Array(bytes)));
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}
