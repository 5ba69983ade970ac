// Clients of real regions over plain HTTP, who write down what they did and what they were told.
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { ERROR_CODES } from '#core/errors';
import { SeededRandom } from '#sim/kernel/seeded-random';
import type { History, Level, Outcome, ReadAttempt, WriteAttempt } from './history.ts';

/** Definition of the one view that the clients write. */
export const FEATURES = `
entities:
  - name: sensor
    joinKeys: [{ name: sensor_id, type: int64 }]
featureViews:
  - name: readings
    namespace: default
    entities: [sensor]
    features:
      - { name: reading, type: int64 }
      - { name: note, type: string }
    sources: [{ name: readings_csv, path: readings.csv }]
    sql: SELECT sensor_id, reading, note, event_timestamp FROM readings_csv ORDER BY event_timestamp
`;

const WRITE_MS_MAX = 2_500;
const READ_MS_MAX = 1_500;
/** Attempts of one write, in other regions, until its outcome is known. */
const ATTEMPTS_MAX = 6;
const LEVELS: readonly Level[] = ['eventual', 'session', 'bounded', 'strong'];
/** Beyond what clocks may stand apart, and watermarks take on a busy machine. */
const MAX_STALENESS_MS = 1_500;
const LATENCY_BUDGET_MS = 600;
const HOT_KEYS = 6;
const COLD_KEYS = 60;
const NOTE_CHARACTERS = 200;
/** Every so many keys are deleted, too: some hot ones, some cold ones. */
const DELETED_EVERY = 4;
const DELETE_SHARE = 0.4;

export interface WorkloadOptions {
  readonly history: History;
  readonly seed: number;
  /** URL of each region. */
  readonly urls: ReadonlyMap<string, string>;
  readonly token: string;
  readonly clients?: number;
  /** Half of all operations meet on a few keys; what is written to one of the others stays there for a while. */
  readonly hotKeys?: number;
  readonly coldKeys?: number;
  /** Pause of a client between two operations, ms. */
  readonly pauseMs?: number;
  /** Of writes that were acknowledged, how many are sent once more. */
  readonly repeatShare?: number;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Attempted {
  readonly outcome: Outcome;
  readonly code: string | null;
  readonly answer: Answer | null;
  readonly invokedMs: number;
  readonly completedMs: number;
}

type Write = Pick<WriteAttempt, 'key' | 'write' | 'operation' | 'eventMs'>;

interface Session {
  readonly random: SeededRandom;
  /** Of its operations, how many are writes. Some clients hardly write, so that none of them waits while hubs are away. */
  readonly writeShare: number;
  readonly client: string;
  name: string;
  lost: number;
  token: string | undefined;
}

/** The note that belongs to a write: long enough that a flipped bit of a row most likely lies in it. */
function noteOf(write: number): string {
  return `note ${write} `.repeat(Math.ceil(NOTE_CHARACTERS / 8)).slice(0, NOTE_CHARACTERS);
}

export class Workload {
  readonly #options: WorkloadOptions;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 });
  readonly #startedMs = performance.now();
  readonly #running: Promise<void>[] = [];
  readonly #away = new Set<string>();
  /** Keys with deletes that a client writes just now, or that nobody may write any more. */
  readonly #taken = new Set<number>();
  #stopped = false;
  #lastWrite = 0;
  #confronted = 0;
  #lastEventMs = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  /** Milliseconds of the recorder's clock. */
  nowMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** The keys that half of all operations meet on. */
  get hotKeys(): readonly number[] {
    return Array.from({ length: this.#options.hotKeys ?? HOT_KEYS }, (_, key) => key);
  }

  /** Whether clients choose the region by themselves; one that is known to be away costs each of them a timeout. */
  avoid(region: string, avoided: boolean): void {
    if (avoided) this.#away.add(region);
    else this.#away.delete(region);
  }

  start(): void {
    const { clients = 8, seed } = this.#options;
    for (let number = 1; number <= clients; number++) {
      const session: Session = {
        random: new SeededRandom(seed * 1000 + number),
        writeShare: number % 2 === 0 ? 0.6 : 0.02,
        client: `client-${number}`,
        name: `client-${number}`,
        lost: 0,
        token: undefined,
      };
      this.#running.push(this.#run(session));
    }
  }

  /** Resolves when every request has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
    this.#agent.destroy();
  }

  /** Reads every key in every region as it is there. For the end, when no client runs any more. */
  async readAll(): Promise<void> {
    const { hotKeys = HOT_KEYS, coldKeys = COLD_KEYS, seed, urls } = this.#options;
    const keys = Array.from({ length: hotKeys + coldKeys }, (_, key) => key);
    await Promise.all(
      [...urls.keys()].map(async (region) => {
        const client = `auditor-${region}`;
        const random = new SeededRandom(seed * 1000 - keys.length);
        const session: Session = { random, writeShare: 0, client, name: client, lost: 0, token: undefined };
        for (const key of keys) await this.#read(session, region, key, 'eventual');
      }),
    );
    this.#agent.destroy();
  }

  /** One client writes the hot keys in one region and reads each at once in another, at every level. */
  async confront(writer: string, reader: string): Promise<void> {
    const session = this.#confronter();
    for (const key of this.hotKeys) {
      if (!this.#taken.has(key)) await this.#write(session, [writer], key);
      await Promise.all(LEVELS.map((level) => this.#read(session, reader, key, level)));
    }
  }

  /** One client writes the hot keys in one region: what every read has to show when it is old enough. */
  async writeHotKeys(writer: string): Promise<void> {
    const session = this.#confronter();
    for (const key of this.hotKeys) if (!this.#taken.has(key)) await this.#write(session, [writer], key);
  }

  #confronter(): Session {
    this.#confronted += 1;
    const client = `confronter-${this.#confronted}`;
    const random = new SeededRandom(this.#options.seed * 1000 - this.#confronted);
    return { random, writeShare: 0, client, name: client, lost: 0, token: undefined };
  }

  async #run(session: Session): Promise<void> {
    const { hotKeys = HOT_KEYS, coldKeys = COLD_KEYS, pauseMs = 12 } = this.#options;
    const { random } = session;
    while (!this.#stopped) {
      const key = random.chance(0.5) ? random.integer(hotKeys) : hotKeys + random.integer(coldKeys);
      const region = this.#draw(random);
      if (random.chance(session.writeShare))
        await this.#write(session, this.#order(random, region), this.#taken.has(key) ? key - 1 : key);
      else await this.#read(session, region, key, LEVELS[random.integer(LEVELS.length)] as Level);
      await new Promise((resolve) => setTimeout(resolve, random.integer(2 * pauseMs)));
    }
  }

  #draw(random: SeededRandom): string {
    const all = [...this.#options.urls.keys()];
    const near = all.filter((region) => !this.#away.has(region));
    // Now and then somebody tries all the same.
    const among = near.length === 0 || random.chance(0.1) ? all : near;
    return among[random.integer(among.length)] as string;
  }

  #order(random: SeededRandom, first: string): string[] {
    return [first, ...Array.from({ length: ATTEMPTS_MAX - 1 }, () => this.#draw(random))];
  }

  async #write(session: Session, regions: readonly string[], key: number): Promise<void> {
    const isDeletedToo = key % DELETED_EVERY === DELETED_EVERY - 1;
    const deletes = isDeletedToo && session.random.chance(DELETE_SHARE);
    this.#lastEventMs = Math.max(this.#lastEventMs + 1, Date.now());
    const write: Write = {
      key,
      write: ++this.#lastWrite,
      operation: deletes ? 'delete' : 'upsert',
      eventMs: this.#lastEventMs,
    };
    if (isDeletedToo) this.#taken.add(key);
    const known = await this.#untilKnown(session, regions, write);
    if (isDeletedToo && (known || !deletes)) this.#taken.delete(key);
  }

  /** Sends a write until it is acknowledged or refused, and now and then once more; false when its outcome stays unknown. */
  async #untilKnown(session: Session, regions: readonly string[], write: Write): Promise<boolean> {
    const again = session.random.chance(this.#options.repeatShare ?? 0.1);
    let acknowledged = false;
    let unknown = false;
    for (const region of regions) {
      const { outcome, code } = await this.#writeOnce(session, region, write);
      unknown ||= outcome === 'unknown';
      if (outcome === 'ok') {
        if (acknowledged || !again) return true;
        acknowledged = true;
      } else if (this.#stopped) break;
      else if (outcome === 'unknown' || code === 'NO_HUB') await new Promise((resolve) => setTimeout(resolve, 100));
      else if (!acknowledged) break;
    }
    return acknowledged || !unknown;
  }

  async #writeOnce(session: Session, region: string, write: Write): Promise<{ outcome: Outcome; code: string | null }> {
    const headers = { 'idempotency-key': `write-${write.write}`, ...tokenHeader(session) };
    const path = write.operation === 'delete' ? '/delete-from-online-store' : '/push';
    const attempted = await this.#send(region, path, headers, bodyOf(write), WRITE_MS_MAX);
    const { answer, outcome, code } = attempted;
    const token = this.#takeToken(session, attempted);
    this.#options.history.add({
      kind: 'write',
      session: session.name,
      region,
      ...write,
      invokedMs: attempted.invokedMs,
      completedMs: attempted.completedMs,
      outcome,
      code,
      token,
      positions: outcome === 'ok' ? parsePositions(answer?.headers['antipode-positions']) : null,
      duplicate: answer?.headers['antipode-duplicate'] === 'true',
      headers: answer?.headers ?? {},
    });
    this.#renewLost(session, code);
    return { outcome, code };
  }

  async #read(session: Session, region: string, key: number, level: Level): Promise<void> {
    const maxStalenessMs = level === 'bounded' ? MAX_STALENESS_MS : null;
    // A session's word of what it has seen helps the other levels, too: half of them have to do without.
    const inSession = level === 'session' || session.random.chance(0.5);
    const headers = {
      'antipode-consistency': level,
      ...(maxStalenessMs === null ? {} : { 'antipode-max-staleness-ms': String(maxStalenessMs) }),
      'antipode-latency-budget-ms': String(LATENCY_BUDGET_MS),
      'antipode-fallback': session.random.chance(0.3) ? 'stale' : 'forward',
      ...(inSession ? tokenHeader(session) : {}),
    };
    const body = JSON.stringify({
      features: ['readings:reading', 'readings:note'],
      entities: { sensor_id: [key] },
      full_feature_names: false,
    });
    const attempted = await this.#send(region, '/get-online-features', headers, body, READ_MS_MAX);
    const { answer, code } = attempted;
    const token = inSession && this.#takeToken(session, attempted);
    this.#options.history.add({
      kind: 'read',
      session: session.name,
      region,
      key,
      level,
      maxStalenessMs,
      invokedMs: attempted.invokedMs,
      completedMs: attempted.completedMs,
      outcome: attempted.outcome,
      code,
      token,
      ...this.#readOf(answer, attempted.outcome),
      headers: answer?.headers ?? {},
    });
    this.#renewLost(session, code);
  }

  #readOf(
    answer: Answer | null,
    outcome: Outcome,
  ): Pick<ReadAttempt, 'met' | 'stale' | 'freshnessMs' | 'write' | 'status' | 'intact'> {
    if (answer === null || outcome !== 'ok')
      return { met: null, stale: false, freshnessMs: null, write: null, status: null, intact: true };
    const { headers, body } = answer;
    const met = LEVELS.find((each) => each === headers['antipode-consistency']) ?? null;
    const freshness = headers['antipode-freshness-ms'];
    const base = {
      met,
      stale: headers['antipode-stale'] === 'true',
      freshnessMs: freshness === undefined ? null : Number(freshness),
    };
    const { results } = JSON.parse(body) as { results: { values: unknown[]; statuses: string[] }[] };
    const [, reading, note] = results;
    const status = reading?.statuses[0] ?? null;
    if (status !== 'PRESENT') return { ...base, write: null, status, intact: true };
    const write = Number(reading?.values[0]);
    return { ...base, write, status, intact: note?.statuses[0] === 'PRESENT' && note.values[0] === noteOf(write) };
  }

  /** Keeps the newest token of the session; true when the answer had one. */
  #takeToken(session: Session, { answer, outcome }: Attempted): boolean {
    const token = outcome === 'ok' ? answer?.headers['antipode-session'] : undefined;
    if (token === undefined) return false;
    session.token = token;
    return true;
  }

  /** A session that is lost is over; its client begins another. */
  #renewLost(session: Session, code: string | null): void {
    if (code !== 'SESSION_LOST') return;
    session.lost += 1;
    session.name = `${session.client}.${session.lost}`;
    session.token = undefined;
  }

  async #send(
    region: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    timeoutMs: number,
  ): Promise<Attempted> {
    const invokedMs = this.nowMs();
    try {
      const answer = await this.#exchange(`${this.#options.urls.get(region)}${path}`, headers, body, timeoutMs);
      const completedMs = this.nowMs();
      if (answer.status === 200) return { outcome: 'ok', code: null, answer, invokedMs, completedMs };
      const code = answer.headers['antipode-error'] ?? `HTTP ${answer.status}`;
      return { outcome: isDefinite(code) ? 'refused' : 'unknown', code, answer, invokedMs, completedMs };
    } catch (caught) {
      const code = (caught as NodeJS.ErrnoException).code ?? String(caught);
      // Nothing was sent where nobody listened.
      const outcome = code === 'ECONNREFUSED' ? 'refused' : 'unknown';
      return { outcome, code, answer: null, invokedMs, completedMs: this.nowMs() };
    }
  }

  #exchange(url: string, headers: Readonly<Record<string, string>>, body: string, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        url,
        {
          method: 'POST',
          agent: this.#agent,
          signal: AbortSignal.timeout(timeoutMs),
          headers: {
            ...headers,
            authorization: `Bearer ${this.#options.token}`,
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () =>
            resolve({
              status: incoming.statusCode ?? 0,
              headers: antipodeHeaders(incoming.headers),
              body: Buffer.concat(chunks).toString('utf8'),
            }),
          );
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }
}

function bodyOf({ key, write, operation, eventMs }: Write): string {
  const entity = { sensor_id: [key], event_timestamp: [new Date(eventMs).toISOString()] };
  if (operation === 'delete') return JSON.stringify({ feature_view_name: 'readings', df: entity });
  const df = { ...entity, reading: [write], note: [noteOf(write)] };
  return JSON.stringify({ push_source_name: 'readings', to: 'online', df });
}

/** An empty header begins a session. */
function tokenHeader({ token }: Session): Record<string, string> {
  return { 'antipode-session': token ?? '' };
}

/** Codes that leave open what became of a write; everything else in the registry says that nothing was done. */
function isDefinite(code: string): boolean {
  if (!Object.hasOwn(ERROR_CODES, code)) return false;
  return !['OUTCOME_UNKNOWN', 'PEER_TIMEOUT', 'INTERNAL'].includes(code);
}

function antipodeHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith('antipode-') && value !== undefined ? [[name, String(value)]] : [],
    ),
  );
}

/** `default/0/ap/9f3c=12, default/1/ap/9f3c=4` */
export function parsePositions(text: string | undefined): Record<string, number> | null {
  if (text === undefined || text === '') return null;
  return Object.fromEntries(
    text.split(', ').map((part) => {
      const at = part.lastIndexOf('=');
      return [part.slice(0, at), Number(part.slice(at + 1))] as const;
    }),
  );
}
