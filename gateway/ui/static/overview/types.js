/**
 * What `/v1/overview` tells; see docs/monitoring.md.
 *
 * @typedef {{p50: number, p95: number} | null} Quantiles
 *
 * @typedef {object} Minute  the last 60 s
 * @property {number} requests
 * @property {number} failed
 * @property {number} prompt_tokens
 * @property {number} cached_tokens
 * @property {number} output_tokens
 * @property {Quantiles} first_token  seconds
 * @property {Quantiles} tokens_per_second  p95: what 95 of 100 reached
 * @property {Quantiles} queue_wait  seconds
 *
 * @typedef {object} ModelNow
 * @property {string} id
 * @property {string[]} abilities
 * @property {number} slots
 * @property {number} busy
 * @property {number} workers
 * @property {number} unready_workers
 * @property {{priority: number, default: number, flex: number}} queued
 * @property {number} running
 * @property {number | null} next_wait  seconds that a request would wait that came now
 * @property {Minute} minute
 *
 * @typedef {object} WorkerNow
 * @property {string} name
 * @property {string} model
 * @property {string} host
 * @property {number} pid
 * @property {"ready" | "not_ready"} state
 * @property {string | null} reason
 * @property {string | null} engine
 * @property {number} slots
 * @property {number} busy
 * @property {number | null} threads
 * @property {number | null} memory_bytes
 * @property {number | null} load  cores in use
 * @property {number} uptime  seconds
 * @property {string | null} version
 * @property {number | null} context
 * @property {string | null} quantisation
 *
 * @typedef {object} JobNow
 * @property {string} id
 * @property {string} model
 * @property {string | null} owner
 * @property {string} tier
 * @property {string} state
 * @property {number | null} position
 * @property {number} created  Unix time in seconds
 * @property {number | null} started
 * @property {number} tokens
 * @property {string | null} worker
 *
 * @typedef {object} FailureTold
 * @property {number} at  Unix time in seconds
 * @property {string} job
 * @property {string} model
 * @property {string | null} owner
 * @property {string} code
 * @property {string} message
 *
 * @typedef {{host: string, pid: number, uptime: number, ready: boolean, reason: string | null}} GatewayNow
 *
 * @typedef {Record<string, (number | null)[]>} Series  by what is told; one value a step
 * @typedef {{step: number, from: number, models: Record<string, Series>}} History  `from`: Unix time of the first step
 *
 * @typedef {object} Overview
 * @property {number} at  Unix time in seconds
 * @property {boolean} admin
 * @property {string} version
 * @property {ModelNow[]} models
 * @property {WorkerNow[]} workers
 * @property {{running: JobNow[], queued: JobNow[], more_running: number, more_queued: number}} jobs
 * @property {FailureTold[]} failures
 * @property {GatewayNow[]} gateways
 * @property {History} [history]
 * @property {History} [history_tail]
 */

export {};
