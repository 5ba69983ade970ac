import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { assess } from './assessment.ts';
import { Feed, type FeedState } from './feed.ts';
import { addSnapshot, EMPTY_HISTORY, type History } from './history.ts';
import { useNow, useSystemScheme } from './hooks.ts';
import { h, html, type VNode } from './html.ts';
import type { Session } from './session.ts';
import type { RegionStatus } from './snapshot.ts';
import { applyThemeChoice, readThemeChoice, type ThemeChoice } from './theme.ts';
import { deriveTopology } from './topology.ts';
import { ConnectionBanner, STALE_AFTER_MS } from './view/connection-banner.ts';
import { EventList } from './view/event-list.ts';
import { Headline } from './view/headline.ts';
import { LinkTable } from './view/link-table.ts';
import { Plots } from './view/plots.ts';
import { SignIn } from './view/sign-in.ts';
import { StreamTable } from './view/stream-table.ts';
import { TailTable } from './view/tail-table.ts';
import { Tiles } from './view/tiles.ts';
import { TopBar } from './view/top-bar.ts';
import { TopologyPicture } from './view/topology-picture.ts';

interface Received {
  readonly history: History;
  /** Monotonic clock at the last snapshot. */
  readonly atMs: number;
}

/** The page: the feed's snapshots, reduced to a history, and everything drawn from it. */
export function App(props: { readonly session: Session }): VNode {
  const { session } = props;
  const [received, setReceived] = useState<Received | null>(null);
  const [feedState, setFeedState] = useState<FeedState>({ phase: 'connecting', attempt: 0 });
  const [theme, setTheme] = useState<ThemeChoice>(readThemeChoice);
  const scheme = useSystemScheme();
  const now = useNow(1000);
  const feed = useFeed(session, setReceived, setFeedState);

  const chooseTheme = (choice: ThemeChoice): void => {
    applyThemeChoice(choice);
    setTheme(choice);
  };
  const signIn = async (token: string): Promise<string | null> => {
    const result = await session.signIn(token);
    if (!result.ok) return result.reason;
    feed.reconnect();
    return null;
  };

  const status = received?.history.latest ?? null;
  const ageMs = received === null ? 0 : Math.max(0, now - received.atMs);
  const stale = feedState.phase !== 'live' || ageMs > STALE_AFTER_MS;
  const signingIn = feedState.phase === 'sign-in';
  return html`
    <a class="skip-link" href="#content">Skip to content</a>
    ${h(TopBar, { status, feedState, stale, theme, onTheme: chooseTheme })}
    ${signingIn ? null : h(ConnectionBanner, { feedState, status, ageMs, now, onRetry: () => feed.reconnect() })}
    <main id="content" tabindex="-1" class=${stale && status !== null ? 'content is-stale' : 'content'}>
      ${signingIn ? h(SignIn, { forbidden: feedState.forbidden, onToken: signIn }) : null}
      ${
        !signingIn && received !== null && status !== null
          ? h(Dashboard, { history: received.history, status, stale, look: `${theme}/${scheme}` })
          : null
      }
      ${!signingIn && status === null ? h(Waiting, { feedState }) : null}
    </main>
  `;
}

function Dashboard(props: {
  readonly history: History;
  readonly status: RegionStatus;
  readonly stale: boolean;
  readonly look: string;
}): VNode {
  const { history, status, stale, look } = props;
  const topology = useMemo(() => deriveTopology(status), [status]);
  const assessment = useMemo(() => assess(status, topology), [status, topology]);
  return html`
    ${h(Headline, { status, assessment, stale })} ${h(Tiles, { history, status })}
    <div class="grid">
      ${h(TopologyPicture, { status, topology })} ${h(Plots, { history, look })}
      ${h(LinkTable, { status, history, topology })} ${h(EventList, { status })}
      ${h(TailTable, { status })} ${h(StreamTable, { status, history })}
    </div>
  `;
}

function Waiting(props: { readonly feedState: FeedState }): VNode {
  const trying = props.feedState.phase === 'connecting' || props.feedState.phase === 'live';
  return html`<section class="waiting" aria-busy=${trying}>
    <p>${trying ? 'Waiting for the first status of this region.' : 'This region has not been reached yet.'}</p>
    <div class="skeleton" aria-hidden="true"><i></i><i></i><i></i><i></i></div>
  </section>`;
}

/** One feed for the life of the page. Snapshots that arrive within a frame, such as a replay, are drawn once. */
function useFeed(
  session: Session,
  onReceived: (received: Received) => void,
  onState: (state: FeedState) => void,
): Feed {
  const reference = useRef<Feed | null>(null);
  if (reference.current === null) {
    let history = EMPTY_HISTORY;
    let drawing = false;
    reference.current = new Feed({
      fetch: window.fetch.bind(window),
      headers: () => session.headers(),
      nowMs: () => performance.now(),
      random: Math.random,
      onState,
      onSnapshot: (status) => {
        history = addSnapshot(history, status);
        const atMs = performance.now();
        if (drawing) return;
        drawing = true;
        requestAnimationFrame(() => {
          drawing = false;
          onReceived({ history, atMs });
        });
      },
    });
  }
  const feed = reference.current;
  useEffect(() => {
    const hurry = (): void => {
      if (document.visibilityState === 'visible') feed.hurry();
    };
    window.addEventListener('online', hurry);
    document.addEventListener('visibilitychange', hurry);
    feed.reconnect();
    return () => {
      window.removeEventListener('online', hurry);
      document.removeEventListener('visibilitychange', hurry);
      feed.close();
    };
  }, [feed]);
  return feed;
}
