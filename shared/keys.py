"""The keys of Redis, each with what lies there; Python and the scripts take their names from here.

Most begin a name, which ends with the id of a job, a model, an owner. In a script `KEY.job` stands for `Key.JOB`. Times
are Redis's own, in milliseconds.
"""

from __future__ import annotations

from enum import StrEnum


class Key(StrEnum):
    """A key, or what keys begin with."""

    JOB = "iq:job:"
    """A job's ticket, a hash: state model owner tier created wait deadline keep tries returned cancel exec worker
    started ended idempotency joined, and

    - `head` what an answer needs of the encoded `Accepted`; `bytes` that it holds until it ends, or is stored;
      `orphan` where in `iq:orphans:` it stands;
    - `seq` number of the last event; `by` the execution that wrote it, `0` for one of the scripts; `tokens` of its
      events; `first` when the first of them came;
    - `reply` the reply streams that get its events; `parts` somebody reads the answer as it comes, so that nothing of
      it can be taken back;
    - `conversation` that gets the answer when it is stored; `removed` it is not to be stored any more;
    - `waiting` whose client waits for the answer: `<visitor>@<reply>` each, where a visitor is the id with which its
      request came; `kept` somebody was promised it (202): it runs, whoever leaves; `deserted` it was cancelled because
      nobody waited any more;
    - `place` among the waiting jobs; `charge` what its owner was charged for its running execution; `preempt` it is
      asked back for a better job; `preempted` how often it was; `spent` how long earlier executions of it held slots;
    - `trail` the beginnings of its prompt, see trail.py; `left` when it was left for the worker that has read the most
      of it; `overtaken` how many jobs have been begun before it out of their turn;
    - `back` when it was put back, the last time; `lost` the execution that had it before and when that began, with a
      colon, where its worker had died.
    """
    TASK = "iq:task:"
    """The encoded `Accepted` of a job that waits or runs."""
    GIVEN = "iq:given:"
    """What a job whose answer is to be stored was given, see `Kept`; until it is."""
    UNARCHIVED = "iq:unarchived"
    """Jobs whose answers are to be stored and are not yet, by when a gateway is to see to it; 0 until they have ended.
    Their records do not end."""
    EVENTS = "iq:events:"
    """A job's stream. An entry's id is the number of its last event, `f` that of its first, `x` its execution, `e` its
    events; entry 0-1 is `Accepted`, without what is to be computed: the ticket's `head`.
    """
    EXEC = "iq:exec:"
    """The job that an execution's claim was given, empty for none, `:<time>` for none before that; until a minute after
    its end."""
    OWNED = "iq:owned:"
    """An owner's jobs that wait or run."""
    ORPHANS = "iq:orphans:"
    """Lingering jobs by `<fingerprint of their request>:<the client's count of attempts>`; none that has ended."""
    JOINED = "iq:joined:"
    """The orphan that a visitor was given; for a minute, so that a command that is sent again is answered alike."""
    IDEMPOTENCY = "iq:idempotency:"
    """The job and the fingerprint that belong to an owner's Idempotency-Key."""
    LEASES = "iq:leases:"
    """A model's running jobs by the time at which their lease ends."""
    DEADLINES = "iq:deadlines:"
    """A model's waiting jobs by deadline."""
    LINGERING = "iq:lingering:"
    """A model's jobs whose client may come again, by the time at which they are cancelled if it does not."""
    LIMBO = "iq:limbo:"
    """Permits of a model that were seen in RQ's intermediate list, by when first."""
    SWEEP = "iq:sweep:"
    """When a model's last sweep was, and how far it has looked; gone a minute later."""
    COUNTS = "iq:counts:"
    """What became of a model's jobs: `jobs:<outcome>`, recovered, prompt_tokens, cached_tokens, completion_tokens,
    wait_ms, and `wait:<k>`, the jobs that waited more than 2^(k-1) and up to 2^k ms; `held_us`, how long the last
    `held` (up to 20) held slots on average, and `held_us:<tier>`; `busy_ms:<tier>`, how long all of them have;
    `placed:<to whom>`, and `left:<k>` and `left_ms`, the same waits of those left for a worker, see claim.lua.
    """
    WAITING = "iq:waiting:"
    """A model's waiting jobs, a place each, all of score 0, so that they are sorted as texts: `<rank of its
    tier>:<owner>:<arrival>:<id>`.
    """
    TURNS = "iq:turns:"
    """`<model>:<rank>`: owners whose jobs wait, by their tags."""
    TAGS = "iq:tags:"
    """`<model>:<rank>`: other owners whose tag is beyond the clock."""
    LINES = "iq:lines:"
    """`<model>:<rank>`: how many of an owner's jobs wait."""
    SCHEDULE = "iq:schedule:"
    """A model's arrivals, asked (when the last of them came), claims, aged (the claim at which a worse tier went
    first), `clock:<rank>`."""
    WEIGHTS = "iq:weights"
    """Owners whose weight is not 1."""
    FLEX = "iq:flex:"
    """A model's running jobs that may be asked back, by their start."""
    PREEMPTED = "iq:preempted:"
    """Those that were asked."""
    SLOTS = "iq:slots:"
    """The slots of a model's ready workers."""
    READERS = "iq:readers:"
    """By the beginnings of a model's prompts, which of its workers have read them, the last one first, a line each; an
    hour longer than any is read."""
    READ_BEFORE = "iq:read_before:"
    """The same of those before these."""
    PERMITS = "iq:permits:"
    """A worker's own permits: jobs are left for it; for a minute."""
    LIVE = "iq:live:"
    """Who lives of a kind (gateways, workers, models), by the time until which that is believed."""
    CARD = "iq:card:"
    """`<kind>:<name>`: what they say of themselves."""
    AGENTS = "iq:agents"
    """The names of agents, for a minute."""
    AGENT = "iq:agent:"
    """What an agent says of its machine: the models that it offers, and the memory for them. See agents.py."""
    STAY = "iq:stay:"
    """Seconds that a request wants a model to stay loaded though nobody asks for it; until it leaves, and for so long,
    or a day, at most."""
    LOAD = "iq:load:"
    """The agent that is about to have a model loaded; for some seconds."""
    LAPSE = "iq:lapse"
    """When was looked last at who lives, and how far what 0.1.0 (`tidy`) and 0.2.0 (`former`) have left is cleared."""
    LEASE = "iq:lease"
    """In force for all who live."""
    BYTES = "iq:bytes"
    """What the jobs of an owner that wait or run hold, by owner; `*` those of all, `*unarchived` of these the ones
    that have ended and wait to be stored. See scripts/_memory.lua."""
    RETAINED = "iq:retained"
    """Jobs that have ended, by when they can be read no longer."""
    EVICTING = "iq:evicting"
    """Which gateway process makes room, where memory is short, and `since` when, for a second."""
    FORMER = "iq:former"
    """There while somebody of version 0.1.0 or 0.2.0 lives."""
    OLDER = "iq:older"
    """There while somebody of version 0.1.0 lives; see scripts/_older.lua."""
    FAILURES = "iq:failures"
    """A stream of the last failed jobs; without their owners where 0.2.0 or an earlier version has ended them."""
    HISTORY = "iq:history:"
    """`<seconds>:<Unix time>:<owner, or * for all>`: what happened in these seconds; for a while. See history.py."""
    WRITTEN = "iq:written"
    """When 202s were confirmed last."""
    REPLY = "iq:reply:2:"
    """The reply stream of a gateway process, whose name it is. An entry's `m` is in MessagePack a list of {job, first,
    last, execution, events}. Those named by release 0.1.0, without the 2, get an entry a job: `j`, `f`, `l`, `x`
    and `e`. `<reply>:jobs` are the jobs whose events it gets: those of one that died are found there.
    """
    BATCH = "iq:batch:"
    """The gateway process that feeds a batch, by its name; for some seconds."""
    ARCHIVE_THINGS = "iq:archive:things"
    """What is stored, by id, where several machines share an archive: see gateway/archive/scripts/_books.lua. All that
    begins with `iq:archive:` is its index; only calls and what is known of
    things that went end by themselves.
    """
    ARCHIVE_LIST = "iq:archive:list:"
    """`<kind>:<owner>`: the leaves of an owner's things that are no parts, by their first places."""
    ARCHIVE_PARTS = "iq:archive:parts:"
    """The same, of a thing's parts."""
    ARCHIVE_LEAF = "iq:archive:leaf:"
    """The ids of one leaf of a list, by their places."""
    ARCHIVE_DUE = "iq:archive:due"
    """Leaves in which something expires, by when it does, or before that."""
    ARCHIVE_COUNTS = "iq:archive:counts"
    """`taken`, and `things` and `bytes` `:<kind, or * for all>` of all owners, or with `:<owner>` of one."""
    ARCHIVE_OWNERS = "iq:archive:owners"
    """Who has anything there, by the bytes of it."""
    ARCHIVE_PLACE = "iq:archive:place"
    """The last place that was handed out."""
    ARCHIVE_GONE = "iq:archive:gone:"
    """`<owner>`: where his things stood that went last, by a short mark of each; for an hour."""
    ARCHIVE_GONE_BEFORE = "iq:archive:gone_before:"
    """The same of those that went before these."""
    ARCHIVE_GONE_OWNERS = "iq:archive:gone_owners"
    """Whose things these are, by when one went last (Unix time in seconds)."""
    ARCHIVE_CALL = "iq:archive:call:"
    """What a call was answered; for half a minute, so that one that is sent again is answered alike."""
    ARCHIVE_TURN = "iq:archive:turn:"
    """Who has last had the turn to do what is done once in some seconds, until the next one."""
    ARCHIVE_IDENTITY = "iq:archive:identity"
    """What tells this index from any other."""
    ARCHIVE_USED = "iq:archive:used"
    """The identity of the index that the gateways on this Redis use, wherever it is; while one of them lives."""
    RQ_JOB = "rq:job:"
    """RQ's own from here on, kept so that its tools can show a job."""
    RQ_QUEUE = "rq:queue:"
    """A model's permits; `<queue>:intermediate` those between the queue and a claim."""
    RQ_QUEUES = "rq:queues"
    RQ_WIP = "rq:wip:"
    """`<job>:<execution>` of those that run."""
    RQ_PUBSUB = "rq:pubsub:"
    """A worker's command channel."""
    RQ_WORKER = "rq:worker:"
    RQ_WORKERS = "rq:workers"
    """All workers; with `:<model>`, its own."""
