/** What is known of upstreams and their servers, for Prometheus. Read when somebody asks. */

import { Counter, Gauge, type Registry } from 'prom-client'
import type { UpstreamReport } from './upstreams.ts'

type Server = UpstreamReport['servers'][number]

export function measureUpstreams(registry: Registry, report: () => readonly UpstreamReport[]): void {
  const registers = [registry]
  const ofServers = (name: string, help: string, aggregator: 'min' | 'max' | 'sum', read: (server: Server) => number) =>
    new Gauge({
      name,
      help,
      aggregator,
      labelNames: ['upstream', 'server'],
      registers,
      collect() {
        this.reset()
        for (const { id, servers } of report()) {
          for (const server of servers) this.set({ upstream: id, server: server.origin }, read(server))
        }
      },
    })
  ofServers('postern_upstream_server_up', 'Zero while its health checks fail.', 'min', ({ state }) =>
    Number(state !== 'down'),
  )
  ofServers('postern_upstream_server_ejected', 'One while it is left alone because it failed.', 'max', ({ state }) =>
    Number(state === 'ejected'),
  )
  ofServers('postern_upstream_requests_open', 'Requests under way there.', 'sum', ({ underWay }) => underWay)
  new Counter({
    name: 'postern_upstream_requests_total',
    help: 'Requests sent there, tries beyond the first included.',
    labelNames: ['upstream', 'server'],
    registers,
    collect() {
      this.reset()
      for (const { id, servers } of report()) {
        for (const { origin, requests } of servers) this.inc({ upstream: id, server: origin }, requests)
      }
    },
  })
  const ofUpstreams = (name: string, help: string, read: (upstream: UpstreamReport) => number) =>
    new Counter({
      name,
      help,
      labelNames: ['upstream'],
      registers,
      collect() {
        this.reset()
        for (const upstream of report()) this.inc({ upstream: upstream.id }, read(upstream))
      },
    })
  ofUpstreams('postern_upstream_retries_total', 'Tries beyond the first.', ({ retries }) => retries)
  ofUpstreams('postern_upstream_shed_total', 'Requests turned away because too many waited.', ({ sheds }) => sheds)
  new Gauge({
    name: 'postern_upstream_queued',
    help: 'Requests that wait for a server now.',
    labelNames: ['upstream'],
    registers,
    collect() {
      this.reset()
      for (const { id, queued } of report()) this.set({ upstream: id }, queued)
    },
  })
}
