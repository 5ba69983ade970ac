import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { DASHBOARD_HEADERS, type DashboardAsset } from '#server/dashboard/assets';

/**
 * The dashboard's files, each under a route of its own: what is not in the map has no route, so no path that a client can
 * think up reaches a file. Public, because they hold nothing of the region; the data behind them is not.
 */
export function addDashboardRoutes(app: FastifyInstance, assets: ReadonlyMap<string, DashboardAsset>): void {
  for (const [path, asset] of assets) {
    app.get(path, { config: { access: 'public' } }, (request, reply) => sendAsset(request, reply, asset));
  }
}

function sendAsset(request: FastifyRequest, reply: FastifyReply, asset: DashboardAsset): void {
  reply.headers(DASHBOARD_HEADERS).header('etag', asset.etag);
  if (request.headers['if-none-match'] === asset.etag) {
    reply.code(304).send();
    return;
  }
  reply.header('content-type', asset.contentType).send(asset.body);
}
