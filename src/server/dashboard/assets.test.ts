import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { DASHBOARD_HEADERS, loadDashboardAssets, readPageFiles } from '#server/dashboard/assets';

const assets = loadDashboardAssets();

function text(path: string): string {
  const found = assets.get(path);
  assert.ok(found !== undefined, `${path} is not served`);
  return found.body.toString('utf8');
}

suite('dashboard assets', () => {
  test('the page and all it links to are served', () => {
    const page = text('/');
    assert.equal(assets.get('/')?.contentType, 'text/html; charset=utf-8');
    const links = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '');
    assert.ok(links.length >= 5);
    for (const link of links) assert.ok(assets.has(link), link);
  });

  test('the page has no inline script or style, which its content policy would bar', () => {
    assert.doesNotMatch(text('/'), /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/);
    assert.doesNotMatch(DASHBOARD_HEADERS['content-security-policy'] ?? '', /unsafe|\*|data:/);
  });

  test('every import leads to a file that is served', () => {
    let imports = 0;
    for (const [path, { contentType }] of assets) {
      if (!contentType.startsWith('text/javascript')) continue;
      for (const [, specifier = ''] of text(path).matchAll(/(?:\bfrom|\bimport)\s*["']([^"'\s]+)["']/g)) {
        const target = new URL(specifier, `http://region${path}`).pathname;
        assert.ok(specifier.startsWith('.') || specifier.startsWith('/'), `${path} imports ${specifier}`);
        assert.ok(assets.has(target), `${path} imports ${specifier}`);
        imports += 1;
      }
    }
    assert.ok(imports > 30);
  });

  test('neither types, nor tests, nor the development server reach the browser', () => {
    for (const path of assets.keys()) assert.doesNotMatch(path, /\.ts$|test|\/dev\//);
    assert.doesNotMatch(text('/assets/feed.js'), /\binterface\b|: string/);
    assert.doesNotMatch(text('/assets/vendor/preact.js'), /sourceMappingURL/);
  });

  test('entity tags are quoted, and the same for the same content', () => {
    const again = loadDashboardAssets();
    for (const [path, { etag }] of assets) {
      assert.match(etag, /^"[\w-]{27}"$/);
      assert.equal(again.get(path)?.etag, etag);
    }
  });

  test('what the package holds is what a checkout serves', () => {
    const files = readPageFiles(new URL('../../../web/', import.meta.url));
    for (const [path, content] of files) {
      assert.equal(text(path === 'index.html' ? '/' : `/assets/${path}`), content);
    }
  });
});
