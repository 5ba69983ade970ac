import type { FeedState } from '../feed.ts';
import { formatClock, formatInstant, isoTime } from '../format.ts';
import { html, type VNode } from '../html.ts';
import type { RegionStatus } from '../snapshot.ts';
import { THEME_CHOICES, type ThemeChoice } from '../theme.ts';

export function TopBar(props: {
  readonly status: RegionStatus | null;
  readonly feedState: FeedState;
  readonly stale: boolean;
  readonly theme: ThemeChoice;
  readonly onTheme: (choice: ThemeChoice) => void;
}): VNode {
  const { status, feedState, stale, theme, onTheme } = props;
  const names: Record<ThemeChoice, string> = { system: 'Auto', light: 'Light', dark: 'Dark' };
  return html`<header class="top-bar">
    <div class="brand">
      <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
        <circle cx="10" cy="10" r="7.2" fill="none" stroke="currentColor" stroke-width="1.6" />
        <path d="M5 15 15 5" stroke="currentColor" stroke-width="1.6" />
        <circle cx="5" cy="15" r="2.7" fill="currentColor" />
        <circle cx="15" cy="5" r="2.7" fill="currentColor" />
      </svg>
      <span>Antipode</span>
    </div>
    ${
      status === null
        ? null
        : html`<div class="serving">
          <span class="quiet">seen from</span> <strong>${status.region}</strong>
          ${status.place === '' ? null : html`<span class="quiet place">${status.place}</span>`}
        </div>`
    }
    <div class="top-end">
      ${
        status === null
          ? null
          : html`<span class="feed">
            <i class=${`dot ${stale ? 'warning' : 'ok'}`} aria-hidden="true"></i>
            <span class="feed-word">${stale ? feedWord(feedState) : 'Live'}</span>
            <time class="number" datetime=${isoTime(status.nowMs)} title=${formatInstant(status.nowMs)}>
              ${formatClock(status.nowMs)} UTC
            </time>
          </span>`
      }
      <fieldset class="themes">
        <legend class="unseen">Colours</legend>
        ${THEME_CHOICES.map(
          (choice) => html`<label>
            <input type="radio" name="theme" value=${choice} checked=${choice === theme} onChange=${() => onTheme(choice)} />
            <span>${names[choice]}</span>
          </label>`,
        )}
      </fieldset>
    </div>
  </header>`;
}

function feedWord(state: FeedState): string {
  switch (state.phase) {
    case 'connecting':
      return 'Connecting';
    case 'live':
      return 'Silent';
    case 'waiting':
      return 'Offline';
    case 'sign-in':
      return 'Signed out';
  }
}
