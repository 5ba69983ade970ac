import { z } from 'zod';
import { canonicalJson, type JsonValue } from '#core/canonical-json';
import { AntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';
import { compareHlc, HLC_COUNTER_MAX, HLC_WALL_MS_MAX, type Hlc } from '#core/time/hlc';

/** Longest token that is read, characters: one response header of the sizes that clients take. */
export const TOKEN_CHARACTERS_MAX = 8 * 1024;

/** What of one namespace a session has seen, or made. */
export interface SeenPositions {
  /** All valid changes of the epochs before this one were visible. */
  readonly epoch: number;
  /** Beyond that, per stream, all changes up to this seq. */
  readonly streams: Readonly<Record<StreamKey, number>>;
}

/**
 * What a client carries from one request of its session to the next (P11.1), by namespace. Every region can tell from it
 * whether what it holds shows all that the session has seen, and the next write is stamped above `hlc`, so that it
 * outranks what it was caused by (at one event time). Signed by nobody: a forged token can only make a region wait or
 * refuse, within the budgets of the request.
 */
export interface SessionToken {
  readonly hlc: Hlc;
  readonly namespaces: Readonly<Record<string, SeenPositions>>;
}

export const EMPTY_TOKEN: SessionToken = { hlc: { wallMs: 0, counter: 0 }, namespaces: {} };

const seq = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const hlcSchema = z.tuple([z.number().int().min(0).max(HLC_WALL_MS_MAX), z.number().int().min(0).max(HLC_COUNTER_MAX)]);

/** Short names, because the token travels in a header: h clock reading, n namespaces, e epoch, s streams. */
const TOKEN = z.strictObject({
  h: hlcSchema,
  n: z.record(z.string().max(128), z.strictObject({ e: seq, s: z.record(z.string().max(400), seq) })),
});

/** Base64url of canonical JSON: the same token gives the same text. */
export function encodeToken(token: SessionToken): string {
  const namespaces = Object.entries(token.namespaces).map(([name, { epoch, streams }]) => [
    name,
    { e: epoch, s: streams },
  ]);
  const form: JsonValue = { h: [token.hlc.wallMs, token.hlc.counter], n: Object.fromEntries(namespaces) as JsonValue };
  return Buffer.from(canonicalJson(form), 'utf8').toString('base64url');
}

/** REQUEST_MALFORMED on anything that no region gave out. */
export function decodeToken(text: string): SessionToken {
  if (text.length > TOKEN_CHARACTERS_MAX)
    throw malformed(`it has ${text.length} characters, at most ${TOKEN_CHARACTERS_MAX}`);
  let raw: unknown;
  try {
    raw = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch (cause) {
    throw malformed('it is not readable', cause);
  }
  const parsed = TOKEN.safeParse(raw);
  if (!parsed.success) throw malformed(z.prettifyError(parsed.error));
  const [wallMs, counter] = parsed.data.h;
  const namespaces = Object.entries(parsed.data.n).map(([name, { e, s }]) => [name, { epoch: e, streams: s }]);
  return { hlc: { wallMs, counter }, namespaces: Object.fromEntries(namespaces) };
}

/** A token that asks for what both ask for. */
export function mergeTokens(a: SessionToken, b: SessionToken): SessionToken {
  const namespaces: Record<string, SeenPositions> = { ...a.namespaces };
  for (const [name, seen] of Object.entries(b.namespaces)) {
    const held = Object.hasOwn(namespaces, name) ? namespaces[name] : undefined;
    namespaces[name] = held === undefined ? seen : mergeSeen(held, seen);
  }
  return { hlc: compareHlc(a.hlc, b.hlc) >= 0 ? a.hlc : b.hlc, namespaces };
}

export function mergeSeen(a: SeenPositions, b: SeenPositions): SeenPositions {
  const streams: Record<StreamKey, number> = { ...a.streams };
  for (const [stream, position] of Object.entries(b.streams)) {
    const held = Object.hasOwn(streams, stream) ? (streams[stream] ?? 0) : 0;
    streams[stream] = Math.max(held, position);
  }
  return { epoch: Math.max(a.epoch, b.epoch), streams };
}

function malformed(why: string, cause?: unknown): AntipodeError {
  return new AntipodeError('REQUEST_MALFORMED', `the session token is not valid: ${why}`, {
    cause,
    remedy: 'Send the antipode-session header exactly as an answer gave it, or leave it out.',
  });
}
