const TOKEN_KEY = 'antipode-token';

/** What the session needs of the browser, so that tests can stand in for it. */
export interface SessionHost {
  readonly storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | null;
  readonly fetch: typeof fetch;
}

export type SignInResult = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/**
 * The token of a fragment such as `#token=abc`, and the fragment without it. A fragment never leaves the browser; it is
 * still removed from the address, so that it is neither bookmarked nor shown on a shared screen.
 */
export function takeToken(fragment: string): { readonly token: string | null; readonly rest: string } {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ''));
  const token = parameters.get('token');
  parameters.delete('token');
  const rest = parameters.toString();
  return { token: token === '' ? null : token, rest: rest === '' ? '' : `#${rest}` };
}

/**
 * Who the page is to the region. A token from the address lives in sessionStorage, which unlike a cookie is apart for
 * each port: three regions on one machine do not overwrite each other. Signing in by hand leaves a cookie that no script
 * can read.
 */
export class Session {
  readonly #host: SessionHost;

  constructor(host: SessionHost) {
    this.#host = host;
  }

  keepToken(token: string): void {
    this.#host.storage?.setItem(TOKEN_KEY, token);
  }

  headers(): Record<string, string> {
    const token = this.#host.storage?.getItem(TOKEN_KEY) ?? null;
    return token === null ? {} : { authorization: `Bearer ${token}` };
  }

  async signIn(token: string): Promise<SignInResult> {
    if (!/^[\x21-\x7e]+$/.test(token))
      return { ok: false, reason: 'A token has only letters, digits and signs, without spaces.' };
    let response: Response;
    try {
      response = await this.#host.fetch('/v1/login', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token }),
      });
    } catch {
      return { ok: false, reason: 'The region does not answer. Try again when it is back.' };
    }
    if (response.ok) {
      // A token that was refused must not go on travelling beside the new cookie.
      this.#host.storage?.removeItem(TOKEN_KEY);
      return { ok: true };
    }
    if (response.status === 401 || response.status === 403)
      return { ok: false, reason: 'The region does not accept this token.' };
    if (response.status === 429) return { ok: false, reason: 'Too many attempts. Wait a minute and try again.' };
    return { ok: false, reason: `The region could not sign you in (HTTP ${response.status}).` };
  }
}
