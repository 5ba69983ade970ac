import type { RegionStatus } from '#region/status';

export type { LinkStatus, NamespaceStatus, RegionEvent, RegionStatus, StreamStatus, TailStatus } from '#region/status';

/**
 * Reads one message of the feed. A region of another release may send more or less than this page knows, so the outer
 * shape is checked and anything else refused with a sentence, instead of failing somewhere inside the drawing.
 */
export function parseSnapshot(
  text: string,
): { readonly ok: true; readonly status: RegionStatus } | { readonly ok: false; readonly reason: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, reason: 'the region sent a status that is not JSON' };
  }
  const missing = firstMissing(value);
  if (missing !== undefined) return { ok: false, reason: `the region sent a status without a valid "${missing}"` };
  return { ok: true, status: value as RegionStatus };
}

function firstMissing(value: unknown): string | undefined {
  if (!isRecord(value)) return 'region';
  if (typeof value['region'] !== 'string') return 'region';
  if (typeof value['nowMs'] !== 'number' || !Number.isFinite(value['nowMs'])) return 'nowMs';
  if (typeof value['startedAtMs'] !== 'number') return 'startedAtMs';
  for (const name of ['namespaces', 'streams', 'links', 'tails', 'events']) {
    const list = value[name];
    if (!Array.isArray(list) || !list.every(isRecord)) return name;
  }
  for (const name of ['control', 'store', 'log', 'ingest', 'reads']) {
    if (!isRecord(value[name])) return name;
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
