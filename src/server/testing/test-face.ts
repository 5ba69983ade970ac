import type { TestContext } from 'node:test';
import type { FastifyInstance } from 'fastify';
import type { Logger } from '#ports/host';
import { type ClearToken, createTokens, TokenSet } from '#server/access/tokens';
import { buildFace } from '#server/face';
import { DEFAULT_LIMITS, type FaceOptions } from '#server/face-options';
import { FakeEngine } from '#server/testing/fake-engine';
import { FakeReader } from '#server/testing/fake-reader';
import { servingState } from '#server/testing/fixtures';
import { ManualClock } from '#server/testing/manual-clock';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number | string[] | undefined>>;
  readonly text: string;
}

/** Keeps what was logged. */
export class MemoryLogger implements Logger {
  readonly lines: { readonly level: string; readonly event: string; readonly fields: unknown }[] = [];
  info(event: string, fields?: unknown): void {
    this.lines.push({ level: 'info', event, fields });
  }
  warn(event: string, fields?: unknown): void {
    this.lines.push({ level: 'warn', event, fields });
  }
  error(event: string, fields?: unknown): void {
    this.lines.push({ level: 'error', event, fields });
  }
}

/** A face over fakes, with one token of each role. Requests go through Fastify's injection unless a test listens. */
export class TestFace {
  readonly clock = new ManualClock();
  readonly reader = new FakeReader();
  readonly engine = new FakeEngine(this.clock, this.reader);
  readonly logger = new MemoryLogger();
  readonly app: FastifyInstance;
  readonly #clear: readonly ClearToken[];

  constructor(options: Partial<FaceOptions> = {}) {
    const { clear, file } = createTokens();
    this.#clear = clear;
    this.reader.setState(servingState(this.clock.wallMs()));
    this.app = buildFace({
      region: 'eu-west',
      project: 'demo',
      engine: this.engine,
      reader: this.reader,
      tokens: new TokenSet(file.tokens),
      reads: 'open',
      limits: DEFAULT_LIMITS,
      logger: this.logger,
      clock: this.clock,
      dashboard: null,
      ...options,
    });
  }

  token(role: ClearToken['role']): string {
    return this.#clear.find((clear) => clear.role === role)?.token ?? '';
  }

  bearer(role: ClearToken['role']): { authorization: string } {
    return { authorization: `Bearer ${this.token(role)}` };
  }

  async send(
    method: string,
    url: string,
    options: { readonly body?: string | Buffer; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<Answer> {
    const response = await this.app.inject({
      method: method as 'GET',
      url,
      headers: { ...options.headers },
      ...(options.body === undefined ? {} : { payload: options.body }),
    });
    return { status: response.statusCode, headers: response.headers, text: response.body };
  }

  get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.send('GET', url, { headers });
  }

  /** Posts JSON without saying so, as Feast's documentation does. */
  post(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const text = typeof body === 'string' || body instanceof Buffer ? body : JSON.stringify(body);
    return this.send('POST', url, { body: text, headers });
  }

  /** Posts JSON with the write token. */
  write(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.post(url, body, { ...this.bearer('write'), ...headers });
  }
}

/** A face that is closed at the end of the test. */
export function startFace(context: TestContext, options: Partial<FaceOptions> = {}): TestFace {
  const face = new TestFace(options);
  context.after(() => face.app.close());
  return face;
}

/** The parts of an error in Feast's shape. */
export function feastError(answer: Answer): { module: string; class: string; message: string } {
  return JSON.parse(JSON.parse(answer.text) as string) as { module: string; class: string; message: string };
}

export function detail(answer: Answer): { type: string; loc: (string | number)[]; msg: string; input: unknown }[] {
  return (
    JSON.parse(answer.text) as { detail: { type: string; loc: (string | number)[]; msg: string; input: unknown }[] }
  ).detail;
}
