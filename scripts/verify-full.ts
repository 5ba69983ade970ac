// The long form of the tests: more seeds, longer drills, larger budgets. Tests read ANTIPODE_VERIFY to know.
process.env['ANTIPODE_VERIFY'] = 'full';
// Models of ten million states are held in memory.
process.env['NODE_OPTIONS'] = `${process.env['NODE_OPTIONS'] ?? ''} --max-old-space-size=14000`.trim();
await import('./test.ts');
