import { z } from 'zod';
import { topologySchema } from '#core/config/topology-document';
import { featuresDocumentSchema } from '#core/model/feature-view-document';

const SCHEMAS = {
  'antipode.schema.json': { schema: topologySchema, title: 'Antipode topology (antipode.yaml)' },
  'features.schema.json': { schema: featuresDocumentSchema, title: 'Antipode feature definitions (features/*.yaml)' },
};

/**
 * Text of the JSON Schemas that editors use, by file name, generated from what validates. Draft 7, because that is what
 * the YAML language server understands best. They check shapes; what parts demand of each other only loading checks.
 */
export function jsonSchemas(): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(SCHEMAS).map(([name, { schema, title }]) => {
      const { $schema, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-7' });
      return [name, `${JSON.stringify({ $schema, title, ...rest }, null, 2)}\n`];
    }),
  );
}
