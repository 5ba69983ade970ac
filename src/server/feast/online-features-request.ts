import { violation } from '#server/feast/faults';
import { isJsonRecord, type JsonRecord, reservedKey } from '#server/json/read-json';

/** A read as the client sent it, its shape checked and nothing resolved yet. */
export interface OnlineFeaturesRequest {
  /** Feature references in request order. */
  readonly features: readonly string[];
  readonly featureService: string | null;
  readonly fullFeatureNames: boolean;
  /** Columns of the entity rows in request order. */
  readonly entities: readonly (readonly [name: string, values: readonly unknown[]])[];
}

/** Checks the shape of a read, with FastAPI's words for what is wrong. Unknown fields are ignored, as there. */
export function parseOnlineFeaturesRequest(body: unknown): OnlineFeaturesRequest {
  const record = requireRecord(body);
  const features = record['features'] ?? [];
  if (!Array.isArray(features) || record['features'] === null) {
    throw violation('list_type', ['features'], 'Input should be a valid list', record['features']);
  }
  for (let i = 0; i < features.length; i++) {
    if (typeof features[i] !== 'string') {
      throw violation('string_type', ['features', i], 'Input should be a valid string', features[i]);
    }
  }
  const featureService = record['feature_service'] ?? null;
  if (featureService !== null && typeof featureService !== 'string') {
    throw violation('string_type', ['feature_service'], 'Input should be a valid string', featureService);
  }
  optionalBoolean(record, 'include_feature_view_version_metadata', false);
  return {
    features: features as readonly string[],
    featureService,
    fullFeatureNames: optionalBoolean(record, 'full_feature_names', false),
    entities: columns(record, 'entities'),
  };
}

/** The body as an object, whose own keys alone are looked at. */
export function requireRecord(body: unknown): JsonRecord {
  if (body === undefined) throw violation('missing', [], 'Field required', null);
  if (!isJsonRecord(body)) {
    throw violation(
      'model_attributes_type',
      [],
      'Input should be a valid dictionary or object to extract fields from',
      body,
    );
  }
  const reserved = reservedKey(body);
  if (reserved !== undefined) throw violation('value_error', [reserved], 'The name is reserved', null);
  return body;
}

export function requireString(record: JsonRecord, field: string): string {
  if (!Object.hasOwn(record, field)) throw violation('missing', [field], 'Field required', record);
  const value = record[field];
  if (typeof value !== 'string') throw violation('string_type', [field], 'Input should be a valid string', value);
  return value;
}

export function optionalBoolean(record: JsonRecord, field: string, absent: boolean): boolean {
  if (!Object.hasOwn(record, field)) return absent;
  const value = record[field];
  if (typeof value !== 'boolean') throw violation('bool_type', [field], 'Input should be a valid boolean', value);
  return value;
}

/** A required object of arrays: column name to values. */
export function columns(record: JsonRecord, field: string): (readonly [string, readonly unknown[]])[] {
  if (!Object.hasOwn(record, field)) throw violation('missing', [field], 'Field required', record);
  const value = record[field];
  if (!isJsonRecord(value)) throw violation('dict_type', [field], 'Input should be a valid dictionary', value);
  const reserved = reservedKey(value);
  if (reserved !== undefined) throw violation('value_error', [field, reserved], 'The name is reserved', null);
  return Object.entries(value).map(([name, values]) => {
    if (!Array.isArray(values)) throw violation('list_type', [field, name], 'Input should be a valid list', values);
    return [name, values as readonly unknown[]] as const;
  });
}
