import type { FeedState } from '../feed.ts';
import { formatClock, formatDuration } from '../format.ts';
import { html, type VNode } from '../html.ts';
import type { RegionStatus } from '../snapshot.ts';

/** A region sends every second; after this much silence the page says that its data is old. */
export const STALE_AFTER_MS = 4_000;

/** Shown while the page is not live: what is wrong, how old the data is, when the next attempt comes. */
export function ConnectionBanner(props: {
  readonly feedState: FeedState;
  readonly status: RegionStatus | null;
  /** Since the last snapshot. */
  readonly ageMs: number;
  /** Monotonic clock. */
  readonly now: number;
  readonly onRetry: () => void;
}): VNode | null {
  const { feedState, status, ageMs, now, onRetry } = props;
  const first = feedState.phase === 'connecting' && feedState.attempt === 0;
  if (first || (feedState.phase === 'live' && ageMs <= STALE_AFTER_MS)) return null;
  const region = status?.region ?? 'this region';
  const silent = feedState.phase === 'live';
  return html`<div class="banner" role="alert">
    <div>
      <strong>${silent ? `No news from ${region}` : `Connection to ${region} lost`}</strong>
      ${feedState.phase === 'waiting' ? html`<span class="banner-reason">: ${feedState.reason}</span>` : null}
      ${status === null ? null : html`<span class="banner-age">Everything below is ${age(ageMs)} old, from ${formatClock(status.nowMs)} UTC.</span>`}
    </div>
    <div class="banner-end">
      ${silent ? null : html`<span class="number" aria-hidden="true">${nextAttempt(feedState, now)}</span>`}
      <button type="button" class="button" onClick=${onRetry}>Reconnect now</button>
    </div>
  </div>`;
}

/** Whole seconds, so that the line does not flicker. */
function age(ms: number): string {
  return formatDuration(Math.max(1000, Math.round(ms / 1000) * 1000)).replace('.0', '');
}

function nextAttempt(state: FeedState, now: number): string {
  if (state.phase !== 'waiting') return 'Connecting';
  return `Next attempt in ${Math.max(1, Math.ceil((state.retryAtMs - now) / 1000))} s`;
}
