import { render } from 'preact';
import { App } from './app.ts';
import { h } from './html.ts';
import { Session, takeToken } from './session.ts';

function sessionStorageIfAllowed(): Storage | null {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}

const session = new Session({ storage: sessionStorageIfAllowed(), fetch: window.fetch.bind(window) });

function takeTokenFromAddress(): boolean {
  const { token, rest } = takeToken(location.hash);
  if (token === null) return false;
  session.keepToken(token);
  history.replaceState(history.state, '', `${location.pathname}${location.search}${rest}`);
  return true;
}

takeTokenFromAddress();
// A link with another token, opened in a page that is already open, changes only the fragment.
window.addEventListener('hashchange', () => {
  if (takeTokenFromAddress()) location.reload();
});

const root = document.getElementById('app');
if (root === null) throw new Error('the page has no place for the dashboard');
render(h(App, { session }), root);
