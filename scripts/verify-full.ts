// The long form of the tests: more seeds, longer drills, larger budgets. Tests read ANTIPODE_VERIFY to know.
process.env['ANTIPODE_VERIFY'] = 'full';
await import('./test.ts');
