export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface TopologyLayout {
  readonly width: number;
  readonly height: number;
  readonly nodeWidth: number;
  readonly nodeHeight: number;
  /** Centres, in the order of the nodes given. */
  readonly centres: readonly Point[];
}

const NODE_HEIGHT = 66;
const NODE_WIDTH_MAX = 168;
const NODE_WIDTH_MIN = 104;
const MARGIN = 4;
const NODE_GAP = 12;
/** Between two rows of regions, for a label on the link. */
const LABEL_ROOM = 150;
const RADIUS_Y_MAX = 420;
/** With more regions their boxes are as narrow as can be. */
const CROWDED_COUNT = 6;
/** More regions stand in two columns at any width. */
const CIRCLE_COUNT_MAX = 10;
/** Narrower, and more than CROWDED_COUNT regions stand in two columns. */
const LADDER_WIDTH_MAX = 460;
/** Above the topmost node, for the badge on its edge. */
const MARGIN_TOP = 12;
/** Kept free between two labels. */
const LABEL_GAP = 6;
const LABEL_ROUNDS = 8;

/**
 * Places regions on an ellipse (too many for that in two columns), the first at the top, in real pixels of the given width so that text keeps its size on a
 * narrow screen. Two regions stand side by side, or one above the other where that is too tight for the label between.
 */
export function layoutTopology(options: {
  readonly count: number;
  readonly width: number;
  readonly heightMin: number;
}): TopologyLayout {
  const { count, width } = options;
  const nodeWidth = Math.max(
    NODE_WIDTH_MIN,
    Math.min(count > CROWDED_COUNT ? NODE_WIDTH_MIN : NODE_WIDTH_MAX, Math.floor(width * 0.335)),
  );
  const unit = unitPositions(count, width);
  const reach = Math.max(0, Math.min((width - nodeWidth) / 2 - MARGIN, 300));
  const radiusX = reach / Math.max(0.5, ...unit.map((point) => Math.abs(point.x)));
  const spread = extent(unit.map((point) => point.y));
  const radiusY = spread === 0 ? 0 : verticalRadius({ unit, radiusX, nodeWidth, spread, heightMin: options.heightMin });
  const top = Math.min(...unit.map((point) => point.y));
  const height = Math.max(options.heightMin, Math.ceil(NODE_HEIGHT + MARGIN_TOP + MARGIN + spread * radiusY));
  const offsetY = spread === 0 ? height / 2 : NODE_HEIGHT / 2 + MARGIN_TOP - top * radiusY;
  return {
    width,
    height,
    nodeWidth,
    nodeHeight: NODE_HEIGHT,
    centres: unit.map((point) => ({ x: width / 2 + point.x * radiusX, y: offsetY + point.y * radiusY })),
  };
}

function unitPositions(count: number, width: number): Point[] {
  if (count <= 1) return [{ x: 0, y: 0 }];
  if (count === 2) {
    return width >= 480
      ? [
          { x: -0.9, y: 0 },
          { x: 0.9, y: 0 },
        ]
      : [
          { x: 0, y: -1 },
          { x: 0, y: 1 },
        ];
  }
  if (count > CIRCLE_COUNT_MAX || (count > CROWDED_COUNT && width < LADDER_WIDTH_MAX)) return ladder(count);
  return Array.from({ length: count }, (_, index) => {
    const angle = -Math.PI / 2 + (2 * Math.PI * index) / count;
    return { x: Math.cos(angle), y: Math.sin(angle) };
  });
}

/** Two columns below the first region, where a circle has no room. */
function ladder(count: number): Point[] {
  const rows = Math.ceil((count - 1) / 2);
  const peers = Array.from({ length: count - 1 }, (_, index) => ({
    x: index % 2 === 0 ? -1 : 1,
    y: -1 + (2 * (Math.floor(index / 2) + 1)) / rows,
  }));
  return [{ x: 0, y: -1 }, ...peers];
}

/** At least the wanted height, and so much that regions which are not side by side lie below each other. */
function verticalRadius(options: {
  readonly unit: readonly Point[];
  readonly radiusX: number;
  readonly nodeWidth: number;
  readonly spread: number;
  readonly heightMin: number;
}): number {
  const { unit, radiusX, nodeWidth, spread, heightMin } = options;
  const wanted = unit.flatMap((point, index) =>
    unit.slice(index + 1).map((other) => {
      const sideBySide = Math.abs(point.x - other.x) * radiusX >= nodeWidth + NODE_GAP;
      const down = Math.abs(point.y - other.y);
      return sideBySide || down < 0.01 ? 0 : (NODE_HEIGHT + NODE_GAP) / down;
    }),
  );
  const least = (Math.max(heightMin, NODE_HEIGHT + LABEL_ROOM) - NODE_HEIGHT - MARGIN_TOP - MARGIN) / spread;
  return Math.min(RADIUS_Y_MAX, Math.max(least, ...wanted));
}

function extent(values: readonly number[]): number {
  return Math.max(...values) - Math.min(...values);
}

/** Where the label of an edge stands: past the middle towards the peer, where edges from one region have spread out. */
export function alongEdge(from: Point, to: Point, fraction: number): Point {
  return { x: from.x + (to.x - from.x) * fraction, y: from.y + (to.y - from.y) * fraction };
}

export interface Label {
  readonly centre: Point;
  readonly width: number;
  readonly height: number;
}

/** Moves labels sideways, as little as needed, until none covers another and all lie within the width. */
export function separateLabels(labels: readonly Label[], width: number): readonly Point[] {
  const xs = labels.map((label) => label.centre.x);
  for (let round = 0; round < LABEL_ROUNDS; round += 1) {
    labels.forEach((a, i) => {
      labels.forEach((b, j) => {
        if (j <= i || Math.abs(a.centre.y - b.centre.y) >= (a.height + b.height) / 2) return;
        const [ax = 0, bx = 0] = [xs[i], xs[j]];
        const overlap = (a.width + b.width) / 2 + LABEL_GAP - Math.abs(ax - bx);
        if (overlap <= 0) return;
        const direction = ax <= bx ? 1 : -1;
        xs[i] = ax - (direction * overlap) / 2;
        xs[j] = bx + (direction * overlap) / 2;
      });
    });
    labels.forEach((label, i) => {
      xs[i] = Math.max(label.width / 2 + 1, Math.min(width - label.width / 2 - 1, xs[i] ?? 0));
    });
  }
  return labels.map((label, i) => ({ x: xs[i] ?? label.centre.x, y: label.centre.y }));
}
