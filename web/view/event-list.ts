import { useState } from 'preact/hooks';
import { formatClock, formatCount, formatInstant, isoTime } from '../format.ts';
import { h, html, type VNode } from '../html.ts';
import type { RegionStatus } from '../snapshot.ts';
import { SeverityMark } from './severity-mark.ts';

/** Newest first. */
export function EventList(props: { readonly status: RegionStatus }): VNode {
  const [problemsOnly, setProblemsOnly] = useState(false);
  const { events } = props.status;
  const shown = (problemsOnly ? events.filter((event) => event.severity !== 'info') : [...events]).reverse();
  return html`<section class="panel events" aria-labelledby="events-title">
    <div class="panel-head">
      <h2 id="events-title">Events</h2>
      <label class="check">
        <input type="checkbox" checked=${problemsOnly} onChange=${() => setProblemsOnly(!problemsOnly)} />
        Warnings and errors only
      </label>
    </div>
    ${
      shown.length === 0
        ? html`<p class="empty">${problemsOnly && events.length > 0 ? `No warnings or errors among ${formatCount(events.length)} events.` : 'No events since this region started.'}</p>`
        : html`<ol class="event-scroll" tabindex="0" aria-label="Events, newest first">
          ${shown.map(
            (
              event,
              index,
            ) => html`<li key=${`${event.atMs} ${event.event} ${shown.length - index}`} class=${event.severity}>
              <time class="number" datetime=${isoTime(event.atMs)} title=${formatInstant(event.atMs)}>${formatClock(event.atMs)}</time>
              ${h(SeverityMark, { severity: event.severity })}
              <div>
                <span class="unseen">${event.severity}: </span>
                <code>${event.event}</code>
                <p>${event.message}</p>
              </div>
            </li>`,
          )}
        </ol>`
    }
  </section>`;
}
