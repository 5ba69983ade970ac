import type { Command } from 'commander';
import { didYouMean } from '#core/config/issue';
import {
  type CommonOptions,
  newCommand,
  newGroup,
  openNamedProject,
  printJson,
  printLines,
  runCommand,
  wholeNumber,
} from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { certificateReports, issueCertificates, nodesOf } from '../project/certificates.ts';
import { paint } from '../terminal/style.ts';
import { formatTable } from '../terminal/table.ts';

interface IssueOptions extends CommonOptions {
  readonly validityDays?: number;
}

export function addCertsCommand(program: Command): void {
  const certs = newGroup('certs', {
    summary: 'issue and show the certificates that regions prove themselves with',
    description:
      'Regions and the control store speak mutual TLS; a certificate binds each to its name. The authority is made with the first certificate. Its key (authority.key) can be any node: in production keep it off the machines of the regions.',
    examples: ['antipode certs show --json', 'antipode certs issue', 'antipode certs issue eu-west --validity-days 30'],
  });
  certs.addCommand(
    newCommand('issue', {
      summary: 'issue new certificates, for all nodes or those named',
      description:
        'Issues new certificates for all nodes of the topology, or those named. A region takes its new one at the next start.',
      examples: ['antipode certs issue', 'antipode certs issue eu-west --validity-days 30'],
    })
      .argument('[nodes...]', 'names of regions, or control')
      .option('--validity-days <days>', 'how long they are valid; default: 90', wholeNumber({ min: 1, max: 3650 }))
      .action((nodes: string[], options: IssueOptions) => runCommand(options, () => issue(nodes, options))),
  );
  certs.addCommand(
    newCommand('show', {
      summary: 'show certificates, their validity and what is wrong with them',
      description: 'Shows every certificate of the project. Exit code 1 when one is missing, expired or not usable.',
      examples: ['antipode certs show', 'antipode certs show --json'],
    }).action((options: CommonOptions) => runCommand(options, () => show(options))),
  );
  program.addCommand(certs);
}

async function issue(named: readonly string[], options: IssueOptions): Promise<undefined> {
  const { project, paths } = await openNamedProject(options);
  const all = nodesOf(project);
  const unknown = named.find((node) => !all.includes(node));
  if (unknown !== undefined)
    throw new UsageError(
      `no node is named ${JSON.stringify(unknown)}${didYouMean(unknown, all)}`,
      `Nodes: ${all.join(', ')}.`,
    );
  const issued = await issueCertificates(project, paths, named.length === 0 ? all : named, {
    ...(options.validityDays === undefined ? {} : { validityDays: options.validityDays }),
  });
  if (options.json) {
    printJson({ issued: issued.map((each) => ({ ...each, notAfter: new Date(each.notAfterMs).toISOString() })) });
    return undefined;
  }
  const rows = issued.map(({ node, certFile, notAfterMs }) => [node, day(notAfterMs), certFile]);
  printLines(formatTable([{ title: 'NODE' }, { title: 'VALID UNTIL' }, { title: 'CERTIFICATE' }], rows));
  return undefined;
}

async function show(options: CommonOptions): Promise<number> {
  const { project, paths } = await openNamedProject(options);
  const reports = await certificateReports(project, paths);
  const faulty = reports.some((report) => report.fault !== null);
  if (options.json) {
    printJson({ certificates: reports });
    return faulty ? EXIT.failure : EXIT.ok;
  }
  const rows = reports.map(({ name, info, fault, warnings }) => [
    name,
    info === null ? '' : (info.uris[0] ?? ''),
    info === null ? '' : day(info.notAfterMs),
    fault === null
      ? warnings.length === 0
        ? paint('green', 'ok')
        : paint('yellow', warnings.join('; '))
      : paint('red', fault),
  ]);
  printLines([
    ...formatTable([{ title: 'NODE' }, { title: 'IDENTITY' }, { title: 'VALID UNTIL' }, { title: 'STATE' }], rows),
    '',
    `folder ${paths.certificates}`,
  ]);
  return faulty ? EXIT.failure : EXIT.ok;
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
