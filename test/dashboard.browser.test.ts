// The dashboard in headless Chromium, over a fake region and with the headers a region's face sends.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { FakeRegion } from '../web/dev/fake-region.ts';
import { DevServer } from '../web/dev/server.ts';

const CHROMIUM_ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const TOKEN = 'abc-123';
const REGIONS = ['us-east', 'eu-west', 'ap-south'];

interface Opened {
  readonly page: Page;
  readonly server: DevServer;
  readonly region: FakeRegion;
  readonly address: string;
  /** What the console said, and every request that left the region's own address. */
  readonly complaints: string[];
}

suite('dashboard', () => {
  let browser: Browser;

  before(async () => {
    const executablePath = process.env['ANTIPODE_CHROMIUM'] ?? '/usr/bin/chromium';
    browser = await chromium.launch({ executablePath, args: CHROMIUM_ARGUMENTS });
  });

  const closing: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  after(async () => {
    await browser.close();
  });

  async function open(
    options: {
      readonly seenFrom?: string;
      readonly token?: string;
      readonly path?: string;
      readonly context?: BrowserContextOptions;
    } = {},
  ): Promise<Opened> {
    const region = new FakeRegion({
      region: options.seenFrom ?? 'eu-west',
      regions: REGIONS,
      startMs: Date.now() - 60_000,
      partitions: 2,
    });
    const server = new DevServer({ region, token: options.token ?? null });
    server.runFor(60);
    const address = await server.listen(0);
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, ...options.context });
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith(address)) complaints.push(`asked ${request.url()}`);
    });
    closing.push(async () => {
      await page.close();
      await server[Symbol.asyncDispose]();
    });
    await page.goto(`${address}/${options.path ?? ''}`);
    return { page, server, region, address, complaints };
  }

  async function heading(page: Page, text: string): Promise<void> {
    await page.getByRole('heading', { level: 1, name: text }).waitFor();
  }

  test('shows hub, epoch, links, plots and events, asks nobody else and obeys its content policy', async () => {
    const dashboard = await open();
    const { page } = dashboard;
    await heading(page, 'us-east is hub of flights, epoch 3; all links connected.');
    const picture = page.locator('.picture svg');
    assert.match((await picture.getAttribute('aria-label')) ?? '', /us-east, connected, hub of flights, epoch 3/);
    assert.equal(await picture.locator('.node').count(), 3);
    assert.equal(await picture.locator('.node.hub .node-name').textContent(), 'us-east');
    assert.equal(await picture.locator('.edge.connected').count(), 2);
    assert.equal(await page.locator('.plot canvas').count(), 4);
    assert.match(
      (await page.locator('.plot-canvas').first().getAttribute('aria-label')) ?? '',
      /us-east \/0 now \d+ ms/,
    );
    assert.match((await page.locator('.tile-value').allTextContents()).join(' '), /rows\/s .* reads\/s/);
    assert.equal(await page.locator('.links tbody tr').count(), 2);
    assert.equal(await page.locator('.streams tbody tr').count(), 2);
    assert.match((await page.locator('.event-scroll li').first().textContent()) ?? '', /lease-acquired/);
    const policy = (await page.request.get(dashboard.address)).headers()['content-security-policy'] ?? '';
    assert.match(policy, /^default-src 'self';/);
    assert.doesNotMatch(policy, /unsafe|data:|https?:/);
    assert.deepEqual(dashboard.complaints, []);
  });

  test('plots draw something', async () => {
    const dashboard = await open();
    const { page } = dashboard;
    await heading(page, 'all links connected');
    await page.waitForTimeout(100);
    const painted = await page.locator('.plot canvas').evaluateAll((canvases) =>
      canvases.map((element) => {
        const canvas = element as HTMLCanvasElement;
        const pixels = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
        return pixels.some((value) => value !== 0);
      }),
    );
    assert.deepEqual(painted, [true, true, true, true]);
  });

  test('a cut link is seen at once, with its reason and since when, and heals', async () => {
    const dashboard = await open();
    const { page, server, region } = dashboard;
    await heading(page, 'all links connected');
    region.cutLink('ap-south', 'LINK_SILENT: no heartbeat for 10 s');
    server.runFor(4);
    await heading(page, 'the link to ap-south is cut.');
    const problem = page.locator('.problems li.error');
    assert.match(
      (await problem.textContent()) ?? '',
      /The link to ap-south is cut.*LINK_SILENT: no heartbeat for 10 s.*for 4\.0 s, since \d\d:\d\d:\d\d UTC/s,
    );
    assert.match((await page.locator('.edge-label.cut').textContent()) ?? '', /CUT for 4\.0 s/);
    assert.equal(await page.locator('.node.error .node-name').textContent(), 'ap-south');
    assert.match((await page.locator('.links tr.error').textContent()) ?? '', /ap-south.*cut.*LINK_SILENT/s);
    assert.match((await page.locator('.event-scroll li').first().textContent()) ?? '', /link-lost/);
    const red = (): Promise<string> =>
      page.locator('.edge.cut').evaluate((line) => {
        for (const animation of line.getAnimations()) animation.finish();
        return getComputedStyle(line).stroke;
      });
    assert.equal(await red(), 'rgb(187, 31, 47)');
    region.healLink('ap-south');
    server.runFor(1);
    await heading(page, 'all links connected.');
    assert.equal(await page.locator('.problems').count(), 0);
  });

  test('follows a failover to the new hub and its tail', async () => {
    const dashboard = await open();
    const { page, server, region } = dashboard;
    await heading(page, 'us-east is hub of flights, epoch 3');
    region.killHub();
    server.runFor(4);
    await heading(page, 'flights has no hub, last epoch 3; the link to us-east is cut.');
    server.runFor(10);
    region.returnHub();
    server.runFor(3);
    await heading(page, 'eu-west is hub of flights, epoch 4; all links connected.');
    assert.equal(await page.locator('.node.hub .node-name').textContent(), 'eu-west');
    assert.match((await page.locator('.tails tbody tr').textContent()) ?? '', /replaying.*1,280 rows/s);
    assert.match((await page.locator('.streams summary').textContent()) ?? '', /earlier epochs: 2/);
    assert.deepEqual(dashboard.complaints, []);
  });

  test('says how old its data is while the region is gone, and returns to life by itself', async () => {
    const dashboard = await open();
    const { page, server } = dashboard;
    await heading(page, 'us-east is hub');
    assert.equal(await page.locator('.banner').count(), 0);
    server.refuse(true);
    const banner = page.getByRole('alert');
    await banner.waitFor();
    assert.match(
      (await banner.textContent()) ?? '',
      /Connection to eu-west lost.*Everything below is \d+ s old, from \d\d:\d\d:\d\d UTC/s,
    );
    await heading(page, 'Last known: us-east is hub');
    server.refuse(false);
    await banner.waitFor({ state: 'detached', timeout: 15_000 });
    await heading(page, 'us-east is hub');
  });

  test('reconnects at once when asked to', async () => {
    const dashboard = await open();
    const { page, server } = dashboard;
    await heading(page, 'us-east is hub');
    server.refuse(true);
    await page.getByText('Next attempt in').waitFor();
    await page.waitForTimeout(3000);
    server.refuse(false);
    await page.getByRole('button', { name: 'Reconnect now' }).click();
    await page.getByRole('alert').waitFor({ state: 'detached', timeout: 1500 });
  });

  test('takes a token from the address, removes it there, and keeps it for the tab', async () => {
    const dashboard = await open({ token: TOKEN, path: `#token=${TOKEN}` });
    const { page, address } = dashboard;
    await heading(page, 'us-east is hub');
    assert.equal(page.url(), `${address}/`);
    await page.reload();
    await heading(page, 'us-east is hub');
    assert.deepEqual(dashboard.complaints, []);
  });

  test('asks for a token, refuses a wrong one, and signs in', async () => {
    const dashboard = await open({ token: TOKEN });
    const { page } = dashboard;
    await heading(page, 'Sign in to this region');
    const field = page.getByLabel('Token');
    assert.equal(await field.evaluate((element) => element === document.activeElement), true);
    await field.fill('wrong');
    await field.press('Enter');
    await page.getByText('The region does not accept this token.').waitFor();
    await field.fill(TOKEN);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await heading(page, 'us-east is hub');
    assert.equal(await page.evaluate(() => sessionStorage.length), 0, 'only the cookie holds the session');
  });

  test('follows the scheme of the system, and a choice overrules it and lasts', async () => {
    const dashboard = await open({ context: { colorScheme: 'dark' } });
    const { page } = dashboard;
    await heading(page, 'us-east is hub');
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = 'rgb(13, 17, 23)';
    const light = 'rgb(244, 246, 248)';
    assert.equal(await background(), dark);
    await page.emulateMedia({ colorScheme: 'light' });
    assert.equal(await background(), light);
    await page.getByRole('radio', { name: 'Dark' }).focus();
    await page.keyboard.press('Space');
    assert.equal(await background(), dark);
    await page.reload();
    assert.equal(await background(), dark);
    await heading(page, 'us-east is hub');
    await page.getByRole('radio', { name: 'Auto' }).click();
    assert.equal(await background(), light);
  });

  for (const width of [320, 390, 768, 1440]) {
    test(`nothing is wider than a screen of ${width} pixels`, async () => {
      const dashboard = await open({ seenFrom: 'us-east', context: { viewport: { width, height: 844 } } });
      const { page, server, region } = dashboard;
      await heading(page, 'us-east is hub');
      region.cutLink('ap-south', 'LINK_REFUSED: the certificate of ap-south was revoked on 2026-11-23 by the operator');
      region.haltStream('DEFINITION_UNDECODABLE: this release cannot decode view route_stats version 8c1f2b7d90');
      region.quarantineRow();
      server.runFor(40);
      await heading(page, 'the link to ap-south is cut');
      const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok((await overflow()) <= 0, `${await overflow()} pixels too wide`);
      server.refuse(true);
      await page.getByRole('alert').waitFor();
      assert.ok((await overflow()) <= 0, `${await overflow()} pixels too wide with the banner`);
    });
  }

  test('text has a contrast of at least 4.5 in both schemes', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const dashboard = await open({ context: { colorScheme } });
      const { page, server, region } = dashboard;
      await heading(page, 'us-east is hub');
      region.cutLink('ap-south');
      region.quarantineRow();
      server.runFor(5);
      await heading(page, 'is cut');
      assert.deepEqual(await page.evaluate(lowContrasts), [], colorScheme);
    }
  });

  test('an empty region has words for everything that is not there', async () => {
    const dashboard = await open();
    const { page, server } = dashboard;
    server.override((status) => ({ ...status, namespaces: [], streams: [], links: [], tails: [], events: [] }));
    server.runFor(1);
    await heading(page, 'No namespace is defined yet; no links.');
    const text = (await page.locator('main').textContent()) ?? '';
    for (const words of ['is alone in its topology', 'No tails', 'No events', 'No open stream']) {
      assert.ok(text.includes(words), words);
    }
    assert.deepEqual(dashboard.complaints, []);
  });
});

/** Runs in the page: texts whose colour is too close to the nearest opaque background behind them. */
function lowContrasts(): string[] {
  const channels = (colour: string): number[] => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r = 0, g = 0, b = 0]: number[]): number => {
    const [lr = 0, lg = 0, lb = 0] = [r, g, b].map((value) => {
      const share = value / 255;
      return share <= 0.040_45 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * lr + 0.7152 * lg + 0.0722 * lb;
  };
  const backgroundOf = (element: Element): number[] => {
    for (let at: Element | null = element; at !== null; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = new Set<string>();
  for (const element of document.querySelectorAll('body *:not(svg *):not(option)')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && (node.textContent ?? '').trim() !== '');
    if (!own || element.closest('.unseen, .skip-link, svg, noscript') !== null) continue;
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(backgroundOf(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.add(`${contrast.toFixed(2)} ${(element.textContent ?? '').trim().slice(0, 40)}`);
  }
  return [...found];
}
