import type { Assessment } from '../assessment.ts';
import { formatClock, formatDuration } from '../format.ts';
import { h, html, type VNode } from '../html.ts';
import type { RegionStatus } from '../snapshot.ts';
import { SeverityMark } from './severity-mark.ts';

/** More would push the picture off the screen; the tables mark all of them. */
const PROBLEMS_SHOWN_MAX = 6;

/** The state of the topology in one sentence, and below it whatever is wrong. Of old data only what was known last. */
export function Headline(props: {
  readonly status: RegionStatus;
  readonly assessment: Assessment;
  readonly stale: boolean;
}): VNode {
  const { status, assessment, stale } = props;
  const { severity, sentence, problems } = assessment;
  const hidden = problems.length - PROBLEMS_SHOWN_MAX;
  return html`<section class=${`headline ${severity}`} aria-label="State of the topology">
    <h1 class="headline-title" aria-live="polite">${h(SeverityMark, { severity: stale ? 'none' : severity, size: 22 })}<span>${stale ? `Last known: ${sentence}` : sentence}</span></h1>
    ${
      problems.length === 0
        ? null
        : html`<ul class="problems">
          ${problems.slice(0, PROBLEMS_SHOWN_MAX).map(
            (problem) => html`<li key=${problem.key} class=${problem.severity}>
              ${h(SeverityMark, { severity: problem.severity })}
              <div>
                <strong>${problem.title}</strong>
                ${problem.detail === null ? null : html`<span class="problem-detail">${problem.detail}</span>`}
              </div>
              ${
                problem.sinceMs === null
                  ? null
                  : html`<span class="problem-since number"
                    >for ${formatDuration(status.nowMs - problem.sinceMs)}, since ${formatClock(problem.sinceMs)} UTC</span
                  >`
              }
            </li>`,
          )}
          ${hidden > 0 ? html`<li class="problems-more">and ${hidden} more, marked in the tables below</li>` : null}
        </ul>`
    }
  </section>`;
}
