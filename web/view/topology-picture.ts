import { formatClock, formatCompact, formatDuration } from '../format.ts';
import { useWidth } from '../hooks.ts';
import { h, html, type VNode } from '../html.ts';
import { alongEdge, type Label, layoutTopology, type Point, separateLabels, type TopologyLayout } from '../layout.ts';
import type { RegionStatus } from '../snapshot.ts';
import type { PeerLink, RegionNode, Topology } from '../topology.ts';

/** With more regions, labels on the links would cover regions; those then tell of their links themselves. */
const LABELLED_REGIONS_MAX = 3;
/** Four need this much width. */
const LABELLED_WIDTH_MIN = 420;
/** Grows with its column beside the plots. */
const HEIGHT_MIN = 300;
const LABEL_FRACTION = 0.52;
const LABEL_HEIGHT = 38;
/** Estimates for a label's two sizes of type, on the wide side. */
const FIRST_CHARACTER_WIDTH = 6.7;
const SECOND_CHARACTER_WIDTH = 6;

/** Regions on a circle, the serving one at the top, and the links it has. */
export function TopologyPicture(props: { readonly status: RegionStatus; readonly topology: Topology }): VNode {
  const { status, topology } = props;
  const [ref, width] = useWidth<HTMLDivElement>();
  const unseen = topology.nodes.length > 2;
  return html`<section class="panel topology" aria-labelledby="topology-title">
    <h2 id="topology-title">Regions and links</h2>
    <div class="picture" ref=${ref}>${width === 0 ? null : h(Picture, { status, topology, width })}</div>
    <p class="caption">
      As ${status.region} sees it: lag and backlog of what it receives and sends.
      ${unseen ? ' Dotted: links between other regions, not seen from here.' : ''}
    </p>
  </section>`;
}

function Picture(props: { readonly status: RegionStatus; readonly topology: Topology; readonly width: number }): VNode {
  const { status, topology, width } = props;
  const layout = layoutTopology({
    count: topology.nodes.length,
    width,
    heightMin: topology.nodes.length > 2 ? HEIGHT_MIN : 200,
  });
  const centre = (region: string): Point =>
    layout.centres[topology.nodes.findIndex((node) => node.region === region)] ?? { x: 0, y: 0 };
  const edges = topology.links.map((link) => ({ link, from: centre(topology.self), to: centre(link.peer) }));
  const count = topology.nodes.length;
  const all = count <= LABELLED_REGIONS_MAX || (count === LABELLED_REGIONS_MAX + 1 && width >= LABELLED_WIDTH_MIN);
  const labels = all
    ? edges.map(({ link, from, to }) => makeLabel(link, status.nowMs, alongEdge(from, to, LABEL_FRACTION)))
    : [];
  const places = separateLabels(labels, width);
  return html`<svg
    width=${layout.width}
    height=${layout.height}
    viewBox=${`0 0 ${layout.width} ${layout.height}`}
    role="img"
    aria-label=${describe(topology)}
  >
    <g class="unseen-links">
      ${unseenPairs(topology).map(([a, b]) => {
        const [from, to] = [centre(a), centre(b)];
        return html`<line key=${`${a} ${b}`} x1=${from.x} y1=${from.y} x2=${to.x} y2=${to.y} />`;
      })}
    </g>
    <g>
      ${edges.map(
        ({ link, from, to }) =>
          html`<line key=${link.peer} class=${`edge ${link.health}`} x1=${from.x} y1=${from.y} x2=${to.x} y2=${to.y} />`,
      )}
    </g>
    <g>
      ${topology.nodes.map((node, index) => {
        const link = topology.links.find((candidate) => candidate.peer === node.region);
        const role = roleLine({ node, width: layout.nodeWidth, link: all ? undefined : link, nowMs: status.nowMs });
        return h(Node, { key: node.region, node, role, layout, centre: layout.centres[index] ?? { x: 0, y: 0 } });
      })}
    </g>
    <g>${labels.map((label, index) => h(EdgeLabel, { key: label.link.peer, label, at: places[index] ?? label.centre }))}</g>
  </svg>`;
}

function Node(props: {
  readonly node: RegionNode;
  readonly role: string;
  readonly layout: TopologyLayout;
  readonly centre: Point;
}): VNode {
  const { node, role, layout, centre } = props;
  const { nodeWidth: width, nodeHeight: height } = layout;
  const hub = node.hubOf.length > 0;
  return html`<g
    class=${`node ${node.severity} ${node.self ? 'self' : ''} ${hub ? 'hub' : ''}`}
    transform=${`translate(${centre.x - width / 2} ${centre.y - height / 2})`}
  >
    <title>${nodeTitle(node)}</title>
    <rect class="node-box" width=${width} height=${height} rx="8" />
    <text class="node-name" x="12" y="24">${node.region}</text>
    ${
      hub
        ? html`<g transform=${`translate(${width - 46} -9)`}>
          <rect class="hub-badge" width="34" height="18" rx="4" />
          <text class="hub-text" x="17" y="13" text-anchor="middle">HUB</text>
        </g>`
        : null
    }
    <text class="node-line" x="12" y="41">${role}</text>
    <circle class="node-dot" cx="15.5" cy="53" r="3.5" />
    <text class="node-state" x="24" y="57">${node.state}</text>
  </g>`;
}

/** Second line of a region: what it is, or in a crowded picture how its link does. */
function roleLine(options: {
  readonly node: RegionNode;
  readonly width: number;
  readonly link: PeerLink | undefined;
  readonly nowMs: number;
}): string {
  const { node, width, link, nowMs } = options;
  const broken = node.severity === 'error';
  if (broken && link !== undefined) return `${link.health} ${formatDuration(nowMs - link.sinceMs)}`;
  if (node.hubOf.length > 0) return hubLine(node, width);
  if (node.self) return 'this region';
  if (broken) return 'role not known';
  if (link === undefined) return 'follower';
  return link.lagP99Ms === null ? `RTT ${formatDuration(link.roundTripMs)}` : `lag ${formatDuration(link.lagP99Ms)}`;
}

function hubLine(node: RegionNode, width: number): string {
  const [only] = node.hubOf;
  if (only === undefined || node.hubOf.length > 1) return `hub of ${node.hubOf.length} namespaces`;
  const long = `${only.namespace}, epoch ${only.epoch}`;
  return long.length * 6.4 <= width - 24 ? long : `epoch ${only.epoch}`;
}

interface EdgeText extends Label {
  readonly link: PeerLink;
  readonly first: string;
  readonly second: string;
}

function makeLabel(link: PeerLink, nowMs: number, centre: Point): EdgeText {
  const [first, second] = labelLines(link, nowMs);
  const width = Math.max(first.length * FIRST_CHARACTER_WIDTH, second.length * SECOND_CHARACTER_WIDTH) + 18;
  return { link, first, second, centre, width, height: LABEL_HEIGHT };
}

function EdgeLabel(props: { readonly label: EdgeText; readonly at: Point }): VNode {
  const { label, at } = props;
  const { link, width, height } = label;
  return html`<g class=${`edge-label ${link.health}`} transform=${`translate(${at.x - width / 2} ${at.y - height / 2})`}>
    ${link.reason === null ? null : html`<title>${link.reason}</title>`}
    <rect width=${width} height=${height} rx="6" />
    <text class="edge-first" x=${width / 2} y="16" text-anchor="middle">${label.first}</text>
    <text class="edge-second" x=${width / 2} y="30" text-anchor="middle">${label.second}</text>
  </g>`;
}

function labelLines(link: PeerLink, nowMs: number): readonly [string, string] {
  const backlog = `backlog ${formatCompact(link.backlogIn)} in${link.backlogOut === null ? '' : ` · ${formatCompact(link.backlogOut)} out`}`;
  switch (link.health) {
    case 'connected':
      return [
        link.lagP99Ms === null
          ? `round trip ${formatDuration(link.roundTripMs)}`
          : `lag p99 ${formatDuration(link.lagP99Ms)}`,
        backlog,
      ];
    case 'connecting':
      return ['connecting', backlog];
    case 'cut':
      return [`CUT for ${formatDuration(nowMs - link.sinceMs)}`, `since ${formatClock(link.sinceMs)} UTC`];
    case 'stopped':
      return ['STOPPED', `since ${formatClock(link.sinceMs)} UTC`];
  }
}

function unseenPairs(topology: Topology): (readonly [string, string])[] {
  const peers = topology.nodes.filter((node) => !node.self).map((node) => node.region);
  return peers.flatMap((a, index) => peers.slice(index + 1).map((b) => [a, b] as const));
}

function nodeTitle(node: RegionNode): string {
  const parts = [node.region, node.place, node.self ? 'this region' : null, node.state];
  return [...parts, ...node.hubOf.map(({ namespace, epoch }) => `hub of ${namespace}, epoch ${epoch}`)]
    .filter((part) => part !== null)
    .join(', ');
}

function describe(topology: Topology): string {
  const regions = topology.nodes.map(nodeTitle).join('; ');
  const links = topology.links
    .map((link) => `link to ${link.peer} ${link.health}${link.reason === null ? '' : `, ${link.reason}`}`)
    .join('; ');
  return `Regions: ${regions}. Links: ${links === '' ? 'none' : links}.`;
}
