-- Keys (all scripts; <id> a job, <model> a queue, <reply> the reply stream of a gateway process, `iq:reply:2:<its name>`):
--   iq:job:<id>          the ticket, a hash: state model owner tier created wait deadline keep tries returned cancel exec worker
--                        started ended idempotency joined, and
--                        seq      number of the last event      by    the execution that wrote it, `0` for one of these scripts
--                        tokens   of its events                 reply the reply streams that get its events
--                        waiting  whose client waits for the answer: `<visitor>@<reply>` each, where a visitor is the id with
--                                 which its request came        kept  somebody was promised it (202): it runs, whoever leaves
--                        deserted it was cancelled because nobody waited any more
--                        parts    somebody reads the answer as it comes, so that nothing of it can be taken back
--                        place    among the waiting jobs         charge what its owner was charged for its running execution
--                        preempt  it is asked back for a better job      preempted  how often it was
--                        spent    how long earlier executions of it held slots
--   iq:task:<id>         the encoded `Accepted`, until the job's first event
--   iq:exec:<execution>  the job that its claim was given, '' for none; until a minute after its end
--   iq:events:<id>       the job's stream; an entry's id is the number of its last event, `f` that of its first, `x` its execution
--                        and `e` its events; entry 0-1 is `Accepted`
--   <reply>              an entry's `m` is in MessagePack a list of {<id>, first, last, execution, events}; those named by release 0.1.0,
--                        without the 2, get an entry a job: `j`, `f`, `l`, `x` and `e`
--   iq:leases:<model>    running jobs by the time at which their lease ends      iq:deadlines:<model>  queued jobs by deadline
--   iq:lingering:<model> jobs whose client may come again, by the time at which they are cancelled if it does not
--   iq:owned:<owner>     its jobs that wait or run
--   iq:older             there while somebody of an earlier version lives
--   iq:orphans:<print>:<n>     such jobs by the fingerprint of their request and the client's count of attempts
--   iq:idempotency:<owner and key>   the job and the fingerprint that belong to an Idempotency-Key
--   iq:limbo:<model>     entries seen in RQ's intermediate list, by when first   iq:sweep:<model>      when the last sweep was; gone a minute later
--   and what waits: see _schedule.lua
--   iq:live:gateways, iq:live:workers, iq:live:models    who lives, by the time until which that is believed; iq:lapse, when that
--                        was looked at last; iq:card:<kind>:<name>, what they say of themselves; iq:lease, in force for all of them
--   iq:written           when 202s were confirmed last
--   <reply>:jobs         the jobs whose events a gateway gets: those of one that died are found here
--   iq:counts:<model>    what became of its jobs: jobs:<outcome>, recovered, prompt_tokens, completion_tokens, wait_ms, and wait:<k>,
--                        the jobs that waited more than 2^(k-1) and up to 2^k ms; held_us, how long the last `held` (up to 20) held
--                        slots on average, and held_us:<tier>; busy_ms:<tier>, how long all of them have
--   iq:failures          a stream of the last failed jobs
--   rq:queue:<model>, rq:queue:<model>:intermediate, rq:wip:<model>, rq:job:<id>   RQ's own, kept so that its tools can show them
-- Times are Redis's own, in milliseconds. It may jump: what is judged by a time is never believed for longer than it was meant to be.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function ticket(id) return 'iq:job:' .. id end
