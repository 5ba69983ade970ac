// Who may import whom. Layers point left only:
//
//   core <- ports <- region <- adapters <- server <- cli        sim stands beside adapters
//
// Tests and their support are free to reach across layers; shipped code never reaches into them.

const TESTS = '(\\.(test|contract|fixture)\\.ts$|/testing/|^test/)';

const LAYERS = ['core', 'ports', 'region', 'adapters', 'server', 'cli'];

/** One rule for each layer: nothing to its right. */
const layerRules = LAYERS.slice(0, -1).map((layer, i) => ({
  name: `layers-${layer}`,
  comment: `src/${layer} may import only itself and what stands left of it: ${LAYERS.slice(0, i + 1).join(', ')}.`,
  severity: 'error',
  from: { path: `^src/${layer}/`, pathNot: TESTS },
  to: { path: `^src/(${LAYERS.slice(i + 1).join('|')})/` },
}));

export default {
  forbidden: [
    ...layerRules,
    {
      name: 'layers-known',
      comment: `Every file of src lies in a layer: ${LAYERS.join(', ')} or sim.`,
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: `^src/(${LAYERS.join('|')}|sim)/` },
    },
    {
      name: 'sim-imports',
      comment: 'The simulator runs the engine unchanged: core, ports, region and the in-memory adapters, nothing else.',
      severity: 'error',
      from: { path: '^src/sim/', pathNot: TESTS },
      to: { path: '^src/', pathNot: '^src/(sim|core|ports|region|adapters/memory[^/]*|adapters/kv)/' },
    },
    {
      name: 'sim-imported',
      comment: 'The simulator is not shipped: only tests and scripts import it.',
      severity: 'error',
      from: { pathNot: [TESTS, '^src/sim/', '^scripts/'] },
      to: { path: '^src/sim/' },
    },
    {
      name: 'no-cycles',
      comment: 'A cycle has no layer. Move what both need into a file that neither owns.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'src-not-to-tests',
      comment: 'Shipped code never imports tests, contract suites or fixtures.',
      severity: 'error',
      from: { path: '^(src|web|examples)/', pathNot: TESTS },
      to: { path: TESTS, pathNot: 'node_modules' },
    },
    {
      name: 'src-not-to-tooling',
      comment: 'src is imported by the rest of the repository, never the other way round.',
      severity: 'error',
      from: { path: '^src/', pathNot: TESTS },
      to: { path: '^(examples|bench|scripts|web|bin|dist)/' },
    },
    {
      name: 'engine-builtins',
      comment: 'core, ports and region do no I/O and read neither clock nor chance; those arrive through ports.',
      severity: 'error',
      from: { path: '^src/(core|ports|region)/', pathNot: TESTS },
      to: {
        dependencyTypes: ['core'],
        pathNot: '^(node:)?(assert|async_hooks|buffer|crypto|events|util|zlib)(/|$)',
      },
    },
    {
      name: 'engine-packages',
      comment: 'Foreign engines and faces belong to adapters, server and cli.',
      severity: 'error',
      from: { path: '^src/(core|ports|region|sim)/', pathNot: TESTS },
      to: {
        path: 'node_modules/(lmdb|@duckdb|fastify|pino|prom-client|commander|preact|htm|uplot|@peculiar|playwright-core)(/|$)',
      },
    },
    {
      name: 'no-dev-dependencies',
      comment: 'What src imports is installed with the package.',
      severity: 'error',
      from: { path: '^src/', pathNot: [TESTS, '^src/sim/'] },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], pathNot: 'node_modules/@types/' },
    },
    {
      name: 'resolvable',
      comment: 'The import leads nowhere.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^#' },
    },
    {
      name: 'resolvable-internal',
      comment: 'The import leads nowhere; internal imports have the form #layer/path without an extension.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, path: '^#' },
    },
  ],
  options: {
    // The native TypeScript compiler has no API this tool can use, so swc parses.
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['antipode-source', 'import', 'node', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json', '.d.ts'],
    },
  },
};
