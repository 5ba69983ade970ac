import { readStored } from '#core/codec/stored-value';
import { formatTimestamp } from '#core/codec/value-time';
import { ViewCodec } from '#core/codec/view-codec';
import type { FeatureView } from '#core/model/feature-view';
import type { Conflict, ConflictPage, ConflictSide } from '#region/engine-api';
import { scalarWriter, valueWriter } from '#server/json/value-writer';

/**
 * Conflicts as JSON text. Values have the forms of `/get-online-features`, so 64-bit integers lose nothing. `key` and
 * `values` are null where the view version is not known here any more, and `values` where a row was too large to keep.
 */
export function conflictPageText(page: ConflictPage): string {
  const codecs = new Map(page.versions.map((view) => [view.version, new ViewCodec(view)]));
  const conflicts = page.conflicts.map((conflict) => conflictText(conflict, codecs.get(conflict.version)));
  return `{"conflicts":[${conflicts.join(',')}],"next":${JSON.stringify(page.next)}}`;
}

function conflictText(conflict: Conflict, codec: ViewCodec | undefined): string {
  const { view, version, kind, winner, rule, atMs, cursor } = conflict;
  const head = JSON.stringify({ cursor, view, version, kind, winner, rule, atMs }).slice(0, -1);
  const places = conflict.features;
  const features =
    places === null || codec === undefined ? null : places.map((place) => codec.view.features[place]?.name);
  const key = keyText(conflict.key, codec);
  const sides = [conflict.stored, conflict.incoming].map((side) => sideText(side, codec, places));
  return `${head},"key":${key},"keyBytes":"${conflict.key}","features":${JSON.stringify(features)},"stored":${sides[0]},"incoming":${sides[1]}}`;
}

function keyText(hex: string, codec: ViewCodec | undefined): string {
  if (codec === undefined) return 'null';
  const values = codec.decodeKey(Buffer.from(hex, 'hex'));
  const parts = codec.view.joinKeys.map(({ name, type }, index) => {
    const value = values[index];
    return `${JSON.stringify(name)}:${value === undefined ? 'null' : scalarWriter(type)(value)}`;
  });
  return `{${parts.join(',')}}`;
}

function sideText(side: ConflictSide, codec: ViewCodec | undefined, places: readonly number[] | null): string {
  const { stream, seq, origin, eventTimeUs, wallMs, counter, deleted, valueBytes } = side;
  const head = JSON.stringify({
    change: `${stream}#${seq}`,
    origin,
    operation: deleted ? 'delete' : 'upsert',
    eventTime: formatTimestamp(eventTimeUs),
    acceptedAtMs: wallMs,
    counter,
    valueBytes,
  }).slice(0, -1);
  return `${head},"values":${valuesText(side, codec, places)}}`;
}

function valuesText(side: ConflictSide, codec: ViewCodec | undefined, places: readonly number[] | null): string {
  if (codec === undefined || side.value === null || side.deleted) return 'null';
  const { values, live } = readStored(codec, Buffer.from(side.value, 'base64'));
  if (!live) return 'null';
  const { features }: FeatureView = codec.view;
  const parts = (places ?? features.keys().toArray()).flatMap((place) => {
    const feature = features[place];
    if (feature === undefined) return [];
    return [`${JSON.stringify(feature.name)}:${valueWriter(feature.type)(values[place] ?? null)}`];
  });
  return `{${parts.join(',')}}`;
}
