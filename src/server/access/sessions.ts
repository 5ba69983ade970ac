import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Principal } from '#server/access/roles';
import type { TokenSet } from '#server/access/tokens';

/** A browser logs in again after this long. */
export const SESSION_SECONDS = 12 * 3600;

/**
 * Sessions of browsers, which cannot hold a token safely. A session is a signed sentence, `name.expiry.signature`, not an
 * entry in memory: all serving processes of a region are given the same key at their start and need share nothing else.
 * The key never touches a disk, so sessions end when the region restarts. The signature covers the hash of the token,
 * so a session ends with the token it came from.
 */
export class Sessions {
  readonly #key: Buffer;
  readonly #tokens: TokenSet | null;

  constructor(key: Buffer, tokens: TokenSet | null) {
    this.#key = key;
    this.#tokens = tokens;
  }

  /** The cookie's value for a token that was just presented; undefined when the token is not valid. */
  open(token: string, nowMs: number): { readonly value: string; readonly principal: Principal } | undefined {
    const record = this.#tokens?.authenticate(token);
    if (record === undefined) return undefined;
    const sentence = `${Buffer.from(record.name).toString('base64url')}.${Math.floor(nowMs / 1000) + SESSION_SECONDS}`;
    return {
      value: `${sentence}.${this.#sign(sentence, record.digest).toString('base64url')}`,
      principal: { name: record.name, role: record.role, via: 'session' },
    };
  }

  principal(value: string, nowMs: number): Principal | undefined {
    const match = /^([A-Za-z0-9_-]{1,90})\.(\d{1,12})\.([A-Za-z0-9_-]{43})$/.exec(value);
    if (match === null) return undefined;
    const [, name, expiry, signature] = match as unknown as [string, string, string, string];
    const record = this.#tokens?.named(Buffer.from(name, 'base64url').toString('utf8'));
    if (record === undefined || Number(expiry) * 1000 <= nowMs) return undefined;
    const expected = this.#sign(`${name}.${expiry}`, record.digest);
    const given = Buffer.from(signature, 'base64url');
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
    return { name: record.name, role: record.role, via: 'session' };
  }

  #sign(sentence: string, tokenDigest: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(tokenDigest).update(sentence).digest();
  }
}

/** One cookie a region: browsers send a host's cookies to all its ports, and `up` runs several regions on one host. */
export function sessionCookieName(region: string): string {
  return `antipode_session_${region}`;
}

/** `Set-Cookie` of a session, or of its end when `value` is empty. */
export function sessionCookie(region: string, value: string, secure: boolean): string {
  const age = value === '' ? 0 : SESSION_SECONDS;
  return `${sessionCookieName(region)}=${value}; Path=/; Max-Age=${age}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
}

/** The session in a `Cookie` header, if there is one. */
export function sessionFromCookies(region: string, header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const name = sessionCookieName(region);
  for (const part of header.split(';')) {
    const at = part.indexOf('=');
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim();
  }
  return undefined;
}
