import { createInterface } from 'node:readline/promises';

/** Asks a question that only `y` or `yes` answers with yes. */
export async function confirm(question: string): Promise<boolean> {
  const line = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await line.question(`${question} [y/N] `);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    line.close();
  }
}
