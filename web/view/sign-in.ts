import { useState } from 'preact/hooks';
import { html, type VNode } from '../html.ts';

/** Asks for a token. `onToken` resolves to what went wrong, or null. */
export function SignIn(props: {
  readonly forbidden: boolean;
  readonly onToken: (token: string) => Promise<string | null>;
}): VNode {
  const { forbidden, onToken } = props;
  const [problem, setProblem] = useState<string | null>(
    forbidden ? 'The token given may not read the status of this region.' : null,
  );
  const [busy, setBusy] = useState(false);

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem('token') as HTMLInputElement;
    const token = field.value.trim();
    if (token === '' || busy) return;
    setBusy(true);
    setProblem(await onToken(token));
    setBusy(false);
    field.select();
  };

  return html`<form class="panel sign-in" aria-labelledby="sign-in-title" onSubmit=${submit}>
    <h1 id="sign-in-title">Sign in to this region</h1>
    <p class="quiet">It shows its status to those who have a token. <code>antipode init</code> made one.</p>
    <label for="token">Token</label>
    <input
      id="token"
      name="token"
      type="password"
      autocomplete="current-password"
      spellcheck="false"
      required
      autofocus
      aria-describedby="sign-in-problem"
      aria-invalid=${problem !== null}
    />
    <p id="sign-in-problem" class="sign-in-problem" role="alert">${problem ?? ''}</p>
    <button type="submit" class="button primary" disabled=${busy}>${busy ? 'Signing in' : 'Sign in'}</button>
  </form>`;
}
