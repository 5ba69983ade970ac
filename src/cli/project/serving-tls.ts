import { readFile } from 'node:fs/promises';
import type { Project } from '#adapters/project-files/load-project';
import { AntipodeError } from '#core/errors';
import type { TlsMaterial } from '#server/face-options';
import type { ProjectPaths } from './project-paths.ts';

/** The certificate and key of the HTTP faces; undefined where they speak plain HTTP. */
export async function readServingTls(project: Project, paths: ProjectPaths): Promise<TlsMaterial | undefined> {
  const { tls } = project.config.security.serving;
  if (tls === null) return undefined;
  return { cert: await readPem(paths.file(tls.cert)), key: await readPem(paths.file(tls.key)) };
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new AntipodeError('CERTIFICATE_INVALID', `cannot read ${file}: ${(cause as Error).message}`, {
      where: file,
      cause,
      remedy: 'Correct security.serving.tls in antipode.yaml, or put the file there.',
    });
  }
}
