import type { FastifyInstance } from 'fastify';
import { AntipodeError } from '#core/errors';
import type { ScalarValue } from '#core/model/feature-view';
import type { ConflictQuery, RegionEngine } from '#region/engine-api';
import { viewNotFound } from '#server/feast/faults';
import { isJsonRecord, readJson } from '#server/json/read-json';
import { conflictPageText } from '#server/operations/conflict-json';
import { type Query, queryFault, text, wholeNumber } from '#server/operations/query';
import type { ViewCatalog } from '#server/views/view-catalog';

/** Conflicts in one answer. */
export const CONFLICTS_MAX = 500;
const CONFLICTS_DEFAULT = 100;

/**
 * The conflict ledger. Conflicts hold feature values, the ones that lost among them, so they take the right that reading
 * features takes.
 */
export function addConflictRoutes(
  app: FastifyInstance,
  options: { readonly engine: RegionEngine; readonly catalog: ViewCatalog; readonly project: string },
): void {
  const { engine, catalog, project } = options;

  app.get('/v1/conflicts', { config: { access: 'read' } }, async (request, reply) => {
    const page = await engine.conflicts(await conflictQuery(request.query as Query, catalog, project));
    return reply.header('content-type', 'application/json').send(Buffer.from(conflictPageText(page), 'utf8'));
  });

  app.get('/v1/conflicts/counts', { config: { access: 'read' } }, async (_request, reply) => {
    const counts = { views: await engine.conflictCounts() };
    return reply.header('content-type', 'application/json').send(Buffer.from(JSON.stringify(counts), 'utf8'));
  });
}

async function conflictQuery(query: Query, catalog: ViewCatalog, project: string): Promise<ConflictQuery> {
  const view = text(query, 'view');
  const key = text(query, 'key');
  const afterMs = wholeNumber(query, 'after_ms', { absent: -1, min: 0 });
  return {
    view,
    key: key === undefined ? undefined : await keyBytes(view, key, catalog, project),
    origins: pair(text(query, 'pair')),
    afterMs: afterMs < 0 ? undefined : afterMs,
    after: text(query, 'after'),
    limit: Math.min(wholeNumber(query, 'limit', { absent: CONFLICTS_DEFAULT, min: 1 }), CONFLICTS_MAX),
  };
}

function pair(given: string | undefined): readonly [string, string] | undefined {
  if (given === undefined) return undefined;
  const [a, b, ...more] = given.split(',').map((name) => name.trim());
  if (a === undefined || a === '' || b === undefined || b === '' || more.length > 0)
    throw queryFault('pair', 'Input should be two regions with a comma between them', given);
  return [a, b];
}

/** The entity key that a JSON object of join keys means, hexadecimal. */
async function keyBytes(
  view: string | undefined,
  given: string,
  catalog: ViewCatalog,
  project: string,
): Promise<string> {
  if (view === undefined) throw queryFault('key', 'A key needs the view it is of', given);
  const compiled = await catalog.find(view);
  if (compiled === undefined) throw viewNotFound(view, project);
  const parsed = parse(given);
  const { codec } = compiled;
  const names = codec.view.joinKeys.map(({ name }) => name);
  if (!isJsonRecord(parsed) || Object.keys(parsed).sort().join() !== [...names].sort().join())
    throw queryFault('key', `Input should be a JSON object with ${names.join(', ')}`, given);
  try {
    const values = codec.view.joinKeys.map(
      (joinKey): ScalarValue => codec.acceptKeyValue(joinKey, parsed[joinKey.name], 'key'),
    );
    return codec.encodeKey(values).toString('hex');
  } catch (caught) {
    if (caught instanceof AntipodeError && caught.code === 'ROW_INVALID')
      throw queryFault('key', caught.message, given);
    throw caught;
  }
}

function parse(given: string): unknown {
  try {
    return readJson(Buffer.from(given, 'utf8'));
  } catch {
    return undefined;
  }
}
