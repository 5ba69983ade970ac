import { html, type VNode } from '../html.ts';
import type { Severity } from '../topology.ts';

/** A shape for each severity, so that it is told without its colour; the words beside it name it. */
export function SeverityMark(props: { readonly severity: Severity | 'info'; readonly size?: number }): VNode {
  const { severity, size = 14 } = props;
  return html`<svg class=${`mark ${severity}`} viewBox="0 0 16 16" width=${size} height=${size} aria-hidden="true">
    ${shape(severity)}
  </svg>`;
}

function shape(severity: Severity | 'info'): VNode {
  switch (severity) {
    case 'ok':
      return html`<circle cx="8" cy="8" r="7" fill="currentColor" /><path class="mark-sign" d="M4.6 8.3 7 10.7l4.4-5" />`;
    case 'warning':
      return html`<path d="M8 .9 15.6 14.6H.4Z" fill="currentColor" stroke="currentColor" stroke-linejoin="round" /><path
          class="mark-sign"
          d="M8 5.6v4.2M8 12v.6"
        />`;
    case 'error':
      return html`<path d="M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5Z" fill="currentColor" /><path
          class="mark-sign"
          d="m5.3 5.3 5.4 5.4m0-5.4-5.4 5.4"
        />`;
    case 'info':
    case 'none':
      return html`<circle cx="8" cy="8" r="3" fill="currentColor" />`;
  }
}
