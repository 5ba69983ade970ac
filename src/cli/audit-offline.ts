import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { JOURNAL_TABLES, KvJournal } from '#adapters/kv/kv-journal';
import type { OrderedKv } from '#adapters/kv/ordered-kv';
import { FolderLock } from '#adapters/lmdb/folder-lock';
import { LmdbKvReader } from '#adapters/lmdb/lmdb-kv-reader';
import { AntipodeError } from '#core/errors';
import type { Journal } from '#ports/journal';
import { type AnchorRecord, decodeAnchorRecord } from '#region/audit/audit-anchorer';
import { verifyAudit } from '#region/audit/audit-log';
import type { AuditEntry, AuditVerdict } from '#region/engine-api';

/** Keys of entries in the journal: `audit/000000000042`. */
const AUDIT_PREFIX = 'audit/';
const AUDIT_DIGITS = 12;

/**
 * Verifies the audit log in the data folder of a stopped region, without that region. The anchor that the region left in
 * the control store, which finds a log that was cut short, is looked up in the control store's folder when that one is
 * stopped too.
 */
export async function verifyAuditOffline(options: {
  readonly region: string;
  readonly dataFolder: string;
  readonly controlFolder: string | undefined;
}): Promise<AuditVerdict> {
  const anchor =
    options.controlFolder === undefined ? undefined : await readAnchor(options.controlFolder, options.region);
  return withJournal(options.dataFolder, (journal) => verifyAudit(journal, anchor));
}

/** Entries of the audit log in the data folder of a stopped region; those that cannot be read are left out. */
export async function listAuditOffline(
  dataFolder: string,
  options: { readonly after: number; readonly limit: number },
): Promise<readonly AuditEntry[]> {
  return withJournal(dataFolder, (journal) =>
    journal
      .list(AUDIT_PREFIX, {
        limit: options.limit,
        ...(options.after < 0 ? {} : { after: AUDIT_PREFIX + String(options.after).padStart(AUDIT_DIGITS, '0') }),
      })
      .flatMap(([, value]) => readEntry(value)),
  );
}

function readEntry(value: Uint8Array): AuditEntry[] {
  try {
    return [JSON.parse(Buffer.from(value).toString('utf8')) as AuditEntry];
  } catch {
    return [];
  }
}

async function readAnchor(controlFolder: string, region: string): Promise<AnchorRecord | undefined> {
  try {
    return await withJournal(controlFolder, (journal) => {
      const stored = journal.get(`control/audit/${region}`);
      // Eight bytes of revision stand before the value.
      return stored === undefined ? undefined : decodeAnchorRecord(Buffer.from(stored).subarray(8));
    });
  } catch (error) {
    if (error instanceof AntipodeError && (error.code === 'DATA_IN_USE' || error.code === 'CONFIG_INVALID'))
      return undefined;
    throw error;
  }
}

/** Opens the journal of a data folder for reading, under its lock: what is written meanwhile would look like damage. */
async function withJournal<T>(dataFolder: string, work: (journal: Journal) => T | Promise<T>): Promise<T> {
  const log = join(dataFolder, 'log');
  if (!existsSync(log)) {
    throw new AntipodeError('CONFIG_INVALID', `there is no log in ${dataFolder}`, {
      where: dataFolder,
      remedy: 'Name the data folder of a region that has run.',
    });
  }
  const lock = lockOf(dataFolder);
  try {
    const reader = LmdbKvReader.open({ folder: log, tables: JOURNAL_TABLES });
    try {
      // A journal that is only read needs only the reading side.
      return await work(new KvJournal(reader as unknown as OrderedKv));
    } finally {
      await reader.close();
    }
  } finally {
    lock.release();
  }
}

function lockOf(dataFolder: string): FolderLock {
  try {
    return FolderLock.acquire(dataFolder);
  } catch (caught) {
    if (!(caught instanceof AntipodeError && caught.code === 'DATA_IN_USE')) throw caught;
    throw new AntipodeError('DATA_IN_USE', 'the region of this data folder is running', {
      where: dataFolder,
      cause: caught,
      remedy: 'Ask the region itself: antipode audit verify --region NAME. Or stop it first.',
    });
  }
}
