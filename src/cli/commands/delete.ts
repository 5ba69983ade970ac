import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { parseEventTime } from '#core/codec/value-time';
import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import { sha256Hex } from '#core/hash';
import type { ScalarValue } from '#core/model/feature-view';
import type { IngestChange } from '#region/engine-api';
import { encodeChangeBatch } from '#server/change-batch';
import { isJsonRecord, readJson } from '#server/json/read-json';
import { type CommonOptions, newCommand, openNamedProject, printJson, printLines, runCommand } from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { BatchSender } from '../ingest/batch-sender.ts';
import { clientsOf } from '../project/clients.ts';
import { viewOf } from '../project/view-of.ts';
import { formatCount } from '../terminal/format.ts';

interface DeleteOptions extends CommonOptions {
  readonly view: string;
  readonly key?: readonly string[];
  readonly file?: string;
  readonly eventTime?: string;
  readonly region?: string;
}

const KEYS_PER_BATCH = 2_000;
const RETRY_MS_MAX = 120_000;

export function addDeleteCommand(program: Command): void {
  program.addCommand(
    newCommand('delete', {
      summary: 'delete the rows of entities, in all regions',
      description:
        'Deletes what a feature view holds for entity keys. A delete merges like a write: it takes away what is older than its event time and what it knew, and later writes bring the row back. Keys are JSON objects with every join key of the view.',
      examples: [
        'antipode delete --view driver_stats --key \'{"driver_id": 1001}\' \'{"driver_id": 1002}\'',
        'antipode delete --view driver_stats --file gone.jsonl   # one key a line',
        'antipode delete --view driver_stats --key \'{"driver_id": 1001}\' --event-time 2026-08-02T10:00:00Z --json',
      ],
    })
      .requiredOption('--view <name>', 'name of the feature view')
      .option('--key <json...>', 'entity keys')
      .option('--file <path>', 'a file with one entity key a line')
      .option('--event-time <time>', 'time as of which they are gone; default: now')
      .option('--region <name>', 'send to this region alone; default: the hub, else any that answers')
      .action((options: DeleteOptions) => runCommand(options, () => deleteRows(options))),
  );
}

async function deleteRows(options: DeleteOptions): Promise<number> {
  const { project, paths } = await openNamedProject(options);
  const view = viewOf(project, options.view);
  const codec = new ViewCodec(view);
  const eventTimeUs =
    options.eventTime === undefined ? Date.now() * 1000 : parseEventTime(options.eventTime, '--event-time');
  const changes = (await keysOf(options)).map(({ text, where }): IngestChange => {
    const key = codec.encodeKey(keyOf(codec, text, where));
    return { operation: 'delete', eventTimeUs, key, row: Buffer.alloc(0) };
  });
  const clients = await clientsOf(project, paths, 'write', options.region);
  const sender = new BatchSender({ clients, retryMsMax: RETRY_MS_MAX });
  // One key for the run: whatever is sent again has the same event time, and counts once.
  const run = randomBytes(8).toString('hex');
  let accepted = 0;
  let hub: string | null = null;
  for (let at = 0; at < changes.length; at += KEYS_PER_BATCH) {
    const batch = encodeChangeBatch({ version: view.version, changes: changes.slice(at, at + KEYS_PER_BATCH) });
    const idempotencyKey = `${run}.${at}.${sha256Hex(batch).slice(0, 16)}`;
    const { result } = await sender.send({ view: view.name, batch, idempotencyKey });
    const [held] = result.quarantined;
    if (held !== undefined) throw new AntipodeError('ROW_EVENT_TIME_AHEAD', held.message, { where: '--event-time' });
    accepted += result.accepted;
    hub = result.hub;
  }
  if (options.json) printJson({ view: view.name, deleted: accepted, hub });
  else printLines([`deleted ${formatCount(accepted)} of ${view.name}${hub === null ? '' : ` by ${hub}`}`]);
  return EXIT.ok;
}

interface GivenKey {
  readonly text: string;
  readonly where: string;
}

async function keysOf({ key = [], file }: DeleteOptions): Promise<GivenKey[]> {
  const given = key.map((text) => ({ text, where: '--key' }));
  if (file !== undefined) {
    const lines = await readLines(file);
    lines.forEach((text, index) => {
      if (text.trim() !== '') given.push({ text, where: `${file}, line ${index + 1}` });
    });
  }
  if (given.length > 0) return given;
  throw new UsageError('no keys to delete', 'Give --key with JSON objects, or --file with one a line.');
}

async function readLines(file: string): Promise<string[]> {
  try {
    return (await readFile(file, 'utf8')).split(/\r?\n/);
  } catch (cause) {
    throw new UsageError(`${file} cannot be read: ${String(cause)}`, 'Check the path.');
  }
}

function keyOf(codec: ViewCodec, text: string, where: string): ScalarValue[] {
  const { joinKeys } = codec.view;
  const parsed = parse(text);
  const names = joinKeys.map(({ name }) => name);
  if (!isJsonRecord(parsed) || Object.keys(parsed).sort().join() !== [...names].sort().join())
    throw new UsageError(
      `${where}: ${text} is no key of ${codec.view.name}`,
      `Give a JSON object with ${names.join(', ')}.`,
    );
  return joinKeys.map((joinKey) => codec.acceptKeyValue(joinKey, parsed[joinKey.name], where));
}

function parse(text: string): unknown {
  try {
    return readJson(Buffer.from(text, 'utf8'));
  } catch {
    return undefined;
  }
}
