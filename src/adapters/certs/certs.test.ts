import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createAuthority, issueCertificate } from '#adapters/certs/authority';
import { keyFileWarning, readCredentials, writeAuthorities, writeCertificate } from '#adapters/certs/certificate-files';
import { checkCredentials, expiryWarning, inspectCertificate, parseCertificate } from '#adapters/certs/credentials';
import { subjectAltNames } from '#adapters/certs/node-identity';
import type { AntipodeError } from '#core/errors';

const DAY_MS = 86_400_000;
const authority = await createAuthority({ topology: 'demo' });
const stranger = await createAuthority({ topology: 'demo' });
const issued = await issueCertificate({
  authority,
  node: 'eu-west',
  dnsNames: ['localhost'],
  ipAddresses: ['127.0.0.1'],
});
const credentials = { ...issued, caPem: authority.certPem };

const invalid = (message: RegExp) => (error: AntipodeError) => {
  assert.equal(error.code, 'CERTIFICATE_INVALID');
  assert.match(error.message, message);
  return true;
};

describe('issuing certificates', () => {
  it('names the topology in the authority and the node in the certificate', () => {
    const root = inspectCertificate(authority.certPem);
    assert.equal(root.authorityOf, 'demo');
    assert.equal(root.identity, undefined);
    const leaf = inspectCertificate(issued.certPem);
    assert.deepEqual(leaf.identity, { topology: 'demo', node: 'eu-west' });
    assert.deepEqual(leaf.uris, ['antipode://demo/eu-west']);
    assert.deepEqual(leaf.dnsNames, ['localhost']);
    assert.deepEqual(leaf.ipAddresses, ['127.0.0.1']);
    assert.equal(leaf.authorityOf, undefined);
  });

  it('is valid for both ends of a connection, 90 days by default, ten years for the authority', () => {
    const certificate = parseCertificate(issued.certPem);
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    assert.ok(Math.abs(certificate.validToDate.getTime() - Date.now() - 90 * DAY_MS) < 60_000);
    assert.ok(inspectCertificate(authority.certPem).notAfterMs > Date.now() + 3649 * DAY_MS);
  });

  it('never outlives its authority', async () => {
    const brief = await createAuthority({ topology: 'demo', validityDays: 1 });
    const leaf = inspectCertificate((await issueCertificate({ authority: brief, node: 'eu' })).certPem);
    assert.equal(leaf.notAfterMs, inspectCertificate(brief.certPem).notAfterMs);
  });

  it('refuses names that could not stand in an identity', async () => {
    for (const node of ['', 'EU', 'a/b', 'a,b', '-a', 'ä', 'a'.repeat(64)]) {
      await assert.rejects(issueCertificate({ authority, node }), { code: 'CONFIG_INVALID' });
    }
    await assert.rejects(createAuthority({ topology: 'a b' }), { code: 'CONFIG_INVALID' });
  });

  it('refuses an authority that is a node, or whose key is another', async () => {
    await assert.rejects(
      issueCertificate({ authority: issued, node: 'x' }),
      invalid(/not one of an Antipode topology/),
    );
    const mixed = { certPem: authority.certPem, keyPem: stranger.keyPem };
    await assert.rejects(issueCertificate({ authority: mixed, node: 'x' }), invalid(/key does not belong/));
  });
});

describe('checking credentials', () => {
  it('accepts what was issued, also while a second authority is trusted', () => {
    assert.equal(checkCredentials(credentials, { topology: 'demo', node: 'eu-west' }).identity?.node, 'eu-west');
    checkCredentials({ ...issued, caPem: stranger.certPem + authority.certPem });
  });

  it('refuses a key of another certificate', () => {
    assert.throws(() => checkCredentials({ ...credentials, keyPem: stranger.keyPem }), invalid(/key does not belong/));
  });

  it('refuses another authority, even of the same name', () => {
    assert.throws(() => checkCredentials({ ...issued, caPem: stranger.certPem }), invalid(/not trusted/));
  });

  it('refuses another node or topology than expected', () => {
    assert.throws(
      () => checkCredentials(credentials, { node: 'us-east' }),
      invalid(/not for antipode:\/\/demo\/us-east/),
    );
    assert.throws(() => checkCredentials(credentials, { topology: 'prod' }), invalid(/not for antipode:\/\/prod/));
  });

  it('refuses certificates before and after their validity, unless that is to be ignored', () => {
    const after = { nowMs: Date.now() + 91 * DAY_MS };
    assert.throws(() => checkCredentials(credentials, after), invalid(/expired at/));
    assert.throws(() => checkCredentials(credentials, { nowMs: Date.now() - DAY_MS }), invalid(/valid only from/));
    checkCredentials(credentials, { ...after, ignoreValidity: true });
  });

  it('refuses what is not PEM, and an authority file that holds a node certificate', () => {
    assert.throws(() => checkCredentials({ ...credentials, certPem: 'x' }), invalid(/not readable PEM/));
    assert.throws(() => checkCredentials({ ...credentials, keyPem: 'x' }), invalid(/private key is not readable/));
    assert.throws(() => checkCredentials({ ...credentials, caPem: '' }), invalid(/holds no certificate/));
    assert.throws(() => checkCredentials({ ...credentials, caPem: issued.certPem }), invalid(/is not an authority/));
  });

  it('warns in the last third of the validity and after the end', () => {
    const info = inspectCertificate(issued.certPem);
    assert.equal(expiryWarning(info), undefined);
    assert.match(expiryWarning(info, info.notAfterMs - 10.5 * DAY_MS) ?? '', /eu-west expires in 10 days/);
    assert.match(expiryWarning(info, info.notAfterMs - 7_200_000) ?? '', /in 2 hours/);
    assert.match(expiryWarning(info, info.notAfterMs + 1) ?? '', /expired at/);
  });
});

describe('subject alternative names', () => {
  const parse = (subjectAltName: string) =>
    subjectAltNames({ subjectAltName } as unknown as Parameters<typeof subjectAltNames>[0]);

  it('does not take a quoted name apart', () => {
    const { uris, dnsNames } = parse('DNS:"x, URI:antipode://demo/evil, y", URI:antipode://demo/eu');
    assert.deepEqual(uris, ['antipode://demo/eu']);
    assert.equal(dnsNames.length, 1);
  });

  it('yields nothing for a text it cannot read to the end', () => {
    assert.deepEqual(parse('URI:antipode://demo/eu, DNS:"open').uris, []);
    assert.deepEqual(parse('URI:antipode://demo/eu, Something:else').uris, []);
  });
});

describe('certificate files', () => {
  it('keeps keys to the owner, replaces atomically and leaves nothing beside', async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'antipode-certs-'));
    t.after(() => rm(root, { recursive: true }));
    const directory = join(root, 'certs');
    const files = await writeCertificate(directory, 'eu-west', stranger);
    await writeCertificate(directory, 'eu-west', issued);
    const caFile = join(directory, 'ca.crt');
    await writeAuthorities(caFile, authority.certPem);
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    assert.equal((await stat(files.keyFile)).mode & 0o777, 0o600);
    assert.equal(await keyFileWarning(files.keyFile), undefined);
    assert.match((await keyFileWarning(files.certFile)) ?? '', /readable by others/);
    assert.deepEqual((await readdir(directory)).sort(), ['ca.crt', 'eu-west.crt', 'eu-west.key']);
    assert.deepEqual(await readCredentials({ ...files, caFile }), credentials);
  });

  it('names the file that cannot be read or written', async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'antipode-certs-'));
    t.after(() => rm(root, { recursive: true }));
    await writeFile(join(root, 'file'), '');
    const missing = join(root, 'none.crt');
    await assert.rejects(readCredentials({ certFile: missing, keyFile: missing, caFile: missing }), {
      code: 'CERTIFICATE_INVALID',
      where: missing,
    });
    await assert.rejects(writeCertificate(join(root, 'file'), 'x', issued), { code: 'CERTIFICATE_INVALID' });
  });
});
